"""The bridge plugin's configuration, checked. Source: https://www.cni.dev/plugins/current/main/bridge/"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.kit.netlink.links import NAME_LIMIT, mac_bytes
from cni import capabilities, ipam, types
from cni.backend import BACKENDS
from cni.bridge import vlan
from cni.bridge.vlan import Vlans
from cni.skel import Request
from cni.types import CniError

DEFAULT_BRIDGE = "cni0"
_DNS = ("nameservers", "domain", "search", "options")


@dataclass(frozen=True)
class Config:
    """`mac` is the pod interface's, "" to derive it from the address. `dad`: leave IPv6 duplicate detection on, and
    wait for it. `guarded`: frames with another source than the interface's MAC are dropped. `left_down`: the pod's
    interface, for whoever takes it over. `masquerade`: the pod leaves its own network as the node, by rules of the kind
    `masquerade_by` ("": any). `dns` replaces that of the addresses' plugin where it says anything.
    """

    bridge: str = DEFAULT_BRIDGE
    is_gateway: bool = False
    is_default_gateway: bool = False
    force_address: bool = False
    mtu: int = 0
    hairpin: bool = False
    promiscuous: bool = False
    isolated: bool = False
    mac: str = ""
    dad: bool = False
    guarded: bool = False
    left_down: bool = False
    masquerade: bool = False
    masquerade_by: str = ""
    vlans: Vlans = field(default_factory=Vlans)
    dns: Mapping[str, Any] = field(default_factory=dict)


def parse(request: Request) -> Config:
    """CniError(6) for settings of another type, CniError(7) for wrong ones."""
    given = request.config
    config = Config(
        bridge=_text(given, "bridge") or DEFAULT_BRIDGE,
        is_gateway=_flag(given, "isGateway") or _flag(given, "isDefaultGateway"),
        is_default_gateway=_flag(given, "isDefaultGateway"),
        force_address=_flag(given, "forceAddress"),
        mtu=_mtu(given),
        hairpin=_flag(given, "hairpinMode"),
        promiscuous=_flag(given, "promiscMode"),
        isolated=_flag(given, "portIsolation"),
        mac=_mac(request),
        dad=_flag(given, "enabledad"),
        guarded=_flag(given, "macspoofchk"),
        left_down=_flag(given, "disableContainerInterface"),
        masquerade=_flag(given, "ipMasq"),
        masquerade_by=_masquerade_by(given),
        vlans=vlan.parse(given),
        dns=_dns(request.section("dns")),
    )
    if config.left_down and ipam.kind(request):
        text = "cannot use IPAM when disableContainerInterface is set: who has no interface has no address"
        raise CniError(types.INVALID_CONFIG, text)
    if config.hairpin and config.promiscuous:
        raise CniError(types.INVALID_CONFIG, "cannot set hairpin mode and promiscuous mode at the same time.")
    if len(config.bridge) > NAME_LIMIT:
        raise CniError(types.INVALID_CONFIG, f"bridge {config.bridge!r} is longer than {NAME_LIMIT} characters")
    return config


def _masquerade_by(given: Mapping[str, Any]) -> str:
    backend = _text(given, "ipMasqBackend")
    if backend not in ("", *BACKENDS):
        raise CniError(types.INVALID_CONFIG, f"ipMasqBackend: {backend!r} is neither nftables nor iptables")
    return backend


def _mac(request: Request) -> str:
    """The capability wins over args.cni, that over CNI_ARGS, that over the configuration."""
    mac = _runtime(request).get("mac") or request.section("args", "cni").get("mac")
    mac = mac or request.arguments.get("MAC") or request.config.get("mac")
    if not mac:
        return ""
    try:
        mac_bytes(str(mac))
    except ValueError:
        raise CniError(types.INVALID_CONFIG, f"mac {mac!r} is not an Ethernet address") from None
    return str(mac).lower()


def _runtime(request: Request) -> Mapping[str, Any]:
    """The plugin for addresses is asked with the same configuration, and one that is not ours knows what it acts on."""
    by = ipam.kind(request)
    known = {"mac", *(capabilities.OF_ADDRESSES if by else ())}
    if by and by not in ipam.OURS:
        known |= request.section("runtimeConfig").keys() - capabilities.OF_OTHERS
    return capabilities.given(request, "bridge", known)


def _dns(dns: Mapping[str, Any]) -> dict[str, Any]:
    return {key: dns[key] for key in _DNS if dns.get(key)}


def _flag(given: Mapping[str, Any], key: str) -> bool:
    value = given.get(key, False)
    if not isinstance(value, bool):
        raise CniError(types.DECODING_FAILURE, f"{key}: {value!r} is not true or false")
    return value


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key, "")
    if not isinstance(value, str):
        raise CniError(types.DECODING_FAILURE, f"{key}: {value!r} is not a string")
    return value


def _mtu(given: Mapping[str, Any]) -> int:
    value = given.get("mtu", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CniError(types.DECODING_FAILURE, f"mtu: {value!r} is not a number of bytes")
    return value

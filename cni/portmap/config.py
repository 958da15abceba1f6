"""The portmap plugin's configuration, checked. Source: https://www.cni.dev/plugins/current/meta/portmap/"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cni import capabilities, types
from cni.backend import BACKENDS, IPTABLES, NFTABLES
from cni.portmap.plan import DEFAULT_MARK_BIT, PROTOCOLS, Forward, Holder, Special
from cni.skel import Request
from cni.types import CniError

_CHAIN = re.compile(r"[\w.\-]{1,28}")
# What the back end nftables lacks, and would change the network silently if it were ignored.
_SPECIAL = ("masqAll", "markMasqBit", "externalSetMarkChain", "conditionsV4", "conditionsV6")


def parse(request: Request) -> Holder:
    """What the attachment asks for; no forwards when it has no port mappings.

    CniError(2) for settings this plugin lacks, CniError(7) for wrong ones and for a host address of a family which the
    pod lacks.
    """
    snat, (backend, special) = _snat(request.config), _backend(request.config)
    given = capabilities.given(request, "portmap", {"portMappings"}).get("portMappings") or []
    if not isinstance(given, list):
        raise CniError(types.DECODING_FAILURE, "runtimeConfig.portMappings is not a list")
    if given and request.previous is None:
        raise CniError(types.INVALID_CONFIG, "portmap is chained after a plugin that gives addresses: no prevResult")
    pods = _addresses((request.previous or {}).get("ips") or (), given)
    forwards = tuple(f for place, one in enumerate(given) for f in _forwards(place, one, pods))
    sources = tuple(str(pod.network) for pod in pods.values())
    key = request.network, request.container_id, request.ifname
    return Holder(*key, forwards, sources, snat, _links(request), backend, special)


def check(request: Request) -> str:
    """The back end that is asked for, "" for any, once all settings are found good."""
    _snat(request.config)
    return _backend(request.config)[0]


def _snat(given: Mapping[str, Any]) -> bool:
    snat = given.get("snat", True)
    if not isinstance(snat, bool):
        raise CniError(types.DECODING_FAILURE, f"snat: {snat!r} is not true or false")
    return snat


def _backend(given: Mapping[str, Any]) -> tuple[str, Special]:
    """What only iptables can do asks for it; who neither names one nor asks for that has any (nftables where it is)."""
    # A mark's bit may be 0.
    wanted = [key for key in _SPECIAL if given.get(key) or (key == "markMasqBit" and given.get(key) is not None)]
    backend = given.get("backend") or (IPTABLES if wanted else "")
    if backend not in ("", *BACKENDS):
        raise CniError(types.INVALID_CONFIG, f"backend: {backend!r} is neither nftables nor iptables")
    if backend == NFTABLES and wanted:
        text = f"{wanted[0]}: {given[wanted[0]]!r} is not supported by this plugin with the back end nftables"
        raise CniError(types.UNSUPPORTED_FIELD, text)
    return backend, _special(given) if wanted else Special()


def _special(given: Mapping[str, Any]) -> Special:
    bit, chain, everybody = given.get("markMasqBit"), given.get("externalSetMarkChain"), given.get("masqAll", False)
    if bit is not None and chain is not None:
        raise CniError(types.INVALID_CONFIG, "externalSetMarkChain and markMasqBit cannot both be set")
    if bit is not None and (isinstance(bit, bool) or not isinstance(bit, int) or not 0 <= bit < 32):
        raise CniError(types.INVALID_CONFIG, f"markMasqBit: {bit!r} is not the number of a bit, 0 to 31")
    if chain is not None and not (isinstance(chain, str) and _CHAIN.fullmatch(chain)):
        raise CniError(types.INVALID_CONFIG, f"externalSetMarkChain: {chain!r} is not the name of a chain")
    if not isinstance(everybody, bool):
        raise CniError(types.DECODING_FAILURE, f"masqAll: {everybody!r} is not true or false")
    four, six = (_conditions(given, key) for key in ("conditionsV4", "conditionsV6"))
    return Special(DEFAULT_MARK_BIT if bit is None else bit, chain or "", everybody, (four, six))


def _conditions(given: Mapping[str, Any], key: str) -> tuple[str, ...]:
    words = given.get(key) or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise CniError(types.DECODING_FAILURE, f"{key}: {words!r} is not a list of words")
    if words and words[0][:1] not in ("-", "!"):
        raise CniError(
            types.INVALID_CONFIG, f"{key}: {words[0]!r} is no condition of iptables, which begins with - or !"
        )
    if any("\n" in word for word in words):
        raise CniError(types.INVALID_CONFIG, f"{key}: a condition has no line break")
    return tuple(words)


def _links(request: Request) -> tuple[str, ...]:
    """The node's links in the result before this plugin."""
    interfaces = (request.previous or {}).get("interfaces") or ()
    return tuple(str(i["name"]) for i in interfaces if i.get("name") and not i.get("sandbox"))


def _addresses(
    ips: Iterable[Mapping[str, Any]], wanted: list[Any]
) -> dict[int, ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    """The pod's first address of each family."""
    found: dict[int, ipaddress.IPv4Interface | ipaddress.IPv6Interface] = {}
    for ip in ips:
        try:
            address = ipaddress.ip_interface(ip["address"])
        except (KeyError, ValueError) as problem:
            raise CniError(types.INVALID_CONFIG, f"prevResult.ips {ip!r}: {problem}") from None
        found.setdefault(address.version, address)
    if wanted and not found:
        raise CniError(types.INVALID_CONFIG, "portMappings need a pod with an address: prevResult has no ips")
    return found


def _forwards(place: int, one: Any, pods: Mapping[int, Any]) -> Iterable[Forward]:
    at = f"portMappings[{place}]"
    if not isinstance(one, dict):
        raise CniError(types.DECODING_FAILURE, f"{at} is not an object")
    # Go reads JSON whatever the case of its keys, and containerd counts on it: it writes HostPort, HostIP, ….
    one = {str(key).lower(): value for key, value in one.items()}
    protocol = str(one.get("protocol") or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise CniError(types.INVALID_CONFIG, f"{at}.protocol: {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    host_port, pod_port = _port(at, one, "hostPort"), _port(at, one, "containerPort")
    text = one.get("hostip") or ""
    try:
        host = ipaddress.ip_address(text) if text else None
    except ValueError:
        raise CniError(types.INVALID_CONFIG, f"{at}.hostIP: {text!r} is not an IP address") from None
    if host is not None and host.version not in pods:
        raise CniError(types.INVALID_CONFIG, f"{at}.hostIP: the pod has no IPv{host.version} address to lead {text} to")
    shown = "" if host is None or host.is_unspecified else str(host)
    for version, pod in pods.items():
        if host is None or host.version == version:
            yield Forward(protocol, shown, host_port, str(pod.ip), pod_port)


def _port(at: str, one: Mapping[str, Any], key: str) -> int:
    value = one.get(key.lower())
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise CniError(types.INVALID_CONFIG, f"{at}.{key}: {value!r} is not a port from 1 to 65535")
    return value

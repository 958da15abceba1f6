"""The portmap plugin's configuration, checked. Source: https://www.cni.dev/plugins/current/meta/portmap/"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from cni import types
from cni.portmap.plan import PROTOCOLS, Forward, Holder
from cni.skel import Request
from cni.types import CniError

# Settings of the reference plugin that would change the network silently if they were ignored.
_UNSUPPORTED = ("masqAll", "markMasqBit", "externalSetMarkChain", "conditionsV4", "conditionsV6")


def parse(request: Request) -> Holder:
    """What the attachment asks for; no forwards when it has no port mappings.

    CniError(2) for settings this plugin lacks, CniError(7) for wrong ones and for a host address of a family which the
    pod lacks.
    """
    snat = check(request)
    given = (request.config.get("runtimeConfig") or {}).get("portMappings") or []
    if not isinstance(given, list):
        raise CniError(types.DECODING_FAILURE, "runtimeConfig.portMappings is not a list")
    if given and request.previous is None:
        raise CniError(types.INVALID_CONFIG, "portmap is chained after a plugin that gives addresses: no prevResult")
    pods = _addresses((request.previous or {}).get("ips") or (), given)
    forwards = tuple(f for place, one in enumerate(given) for f in _forwards(place, one, pods))
    sources = tuple(str(pod.network) for pod in pods.values())
    return Holder(request.network, request.container_id, request.ifname, forwards, sources, snat, _links(request))


def check(request: Request) -> bool:
    """Whether `snat` is wanted, once all settings are found good."""
    given = request.config
    for key in _UNSUPPORTED:
        value = given.get(key)
        # A mark's bit may be 0.
        if value or (value is not None and key == "markMasqBit"):
            raise CniError(types.UNSUPPORTED_FIELD, f"{key}: {given[key]!r} is not supported by this plugin")
    if given.get("backend") not in (None, "", "nftables"):
        raise CniError(types.UNSUPPORTED_FIELD, f"backend: {given['backend']!r} is not supported, only nftables is")
    snat = given.get("snat", True)
    if not isinstance(snat, bool):
        raise CniError(types.DECODING_FAILURE, f"snat: {snat!r} is not true or false")
    return snat


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

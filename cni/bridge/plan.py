"""What an attachment shall look like, from the configuration and the addresses it was given. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from apimachinery.kit.netlink.routes import MAIN_TABLE, Address, Interface, Network, Route
from cni import types
from cni.bridge.config import Config
from cni.types import CniError, Result

# Who set a pod's routes: RTPROT_BOOT, as ip(8) marks what it is told without a word about it.
BOOT = 3
DEFAULT_ROUTES: dict[int, Network] = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}


@dataclass(frozen=True)
class Attachment:
    """One pod interface. `gateways` are the addresses the bridge shall have; `routes` have no link yet, and are told as
    `told` says: a gateway that the plugin for addresses left open is the bridge's, and stays open there.
    """

    host_name: str
    ifname: str
    mac: str
    addresses: tuple[Interface, ...]
    gateways: tuple[Interface, ...]
    routes: tuple[Route, ...]
    told: tuple[Mapping[str, Any], ...]
    ips: tuple[Mapping[str, Any], ...]
    dns: Mapping[str, Any]


def host_name(network: str, container_id: str, ifname: str) -> str:
    """The node's end of the veth: found again without a record, and 44 bits of hash keep attachments
    apart.
    """
    digest = hashlib.blake2b(f"{network}/{container_id}/{ifname}".encode(), digest_size=6).hexdigest()
    return f"veth{digest[:11]}"


def alias(network: str, container_id: str, ifname: str) -> str:
    return f"cni {network} {container_id} {ifname}"


def attachment_of(alias: str) -> tuple[str, str, str] | None:
    """(network, container id, interface) of a link that `alias` names; None for any other link."""
    words = alias.split(" ")
    return (words[1], words[2], words[3]) if len(words) == 4 and words[0] == "cni" else None


def attachment(config: Config, near: str, ifname: str, given: Result) -> Attachment:
    """Join configuration and IPAM result; CniError(7) when the result cannot be used."""
    addresses: list[Interface] = []
    gateways: list[Interface] = []
    ips: list[dict[str, Any]] = []
    first: dict[int, Address] = {}
    for ip in given["ips"]:
        try:
            interface = ipaddress.ip_interface(ip["address"])
            gateway = ipaddress.ip_address(ip["gateway"]) if ip.get("gateway") else None
        except (KeyError, ValueError) as problem:
            raise CniError(types.INVALID_CONFIG, f"IPAM result {ip!r}: {problem}") from None
        if gateway is None and config.is_gateway:
            gateway = interface.network[1]
        addresses.append(interface)
        if gateway is not None and config.is_gateway:
            gateways.append(ipaddress.ip_interface((gateway, interface.network.prefixlen)))
        shown: dict[str, Any] = {"address": str(interface), "interface": 2}
        if gateway is not None:
            shown["gateway"] = str(gateway)
            first.setdefault(interface.version, gateway)
        ips.append(shown)
    asked = [_route(one) for one in given["routes"]]
    defaults = _defaults(asked, first) if config.is_default_gateway else []
    return Attachment(
        host_name=near,
        ifname=ifname,
        mac=config.mac or derived_mac(addresses, near),
        addresses=tuple(addresses),
        gateways=tuple(gateways),
        routes=tuple(
            r if r.gateway else replace(r, gateway=first.get(r.destination.version)) for r in asked + defaults
        ),
        told=tuple(map(_told, asked + defaults)),
        ips=tuple(ips),
        dns=config.dns or given.get("dns") or {},
    )


def derived_mac(addresses: Iterable[Interface], near: str) -> str:
    """A pod that gets a former pod's address also gets its MAC, so no neighbour cache on the node is ever
    wrong.
    """
    for interface in addresses:
        if interface.version == 4:
            return "0a:58:" + interface.ip.packed.hex(":")
    return "0a:59:" + hashlib.blake2b(near.encode(), digest_size=4).digest().hex(":")


def result(
    bridge: Mapping[str, Any],
    veth: Mapping[str, Any],
    pod: Mapping[str, Any],
    what: Attachment,
    others: Iterable[Mapping[str, Any]] = (),
) -> Result:
    return {
        "interfaces": [dict(bridge), dict(veth), dict(pod), *map(dict, others)],
        "ips": [dict(ip) for ip in what.ips],
        "routes": [dict(route) for route in what.told],
        "dns": dict(what.dns),
    }


def _told(route: Route) -> dict[str, Any]:
    shown: dict[str, Any] = {"dst": str(route.destination)}
    if route.gateway is not None:
        shown["gw"] = str(route.gateway)
    if route.mtu:
        shown["mtu"] = route.mtu
    if route.advmss:
        shown["advmss"] = route.advmss
    if route.metric:
        shown["priority"] = route.metric
    if route.table != MAIN_TABLE:
        shown["table"] = route.table
    if route.scope is not None:
        shown["scope"] = route.scope
    return shown


def conflicting(wanted: Interface, present: Iterable[Interface]) -> list[Interface]:
    """Addresses on the bridge that must make way: any other IPv4 one, IPv6 ones whose networks overlap."""
    others = [p for p in present if p != wanted and p.version == wanted.version]
    return [p for p in others if wanted.version == 4 or p.network.overlaps(wanted.network)]


def _route(one: Mapping[str, Any]) -> Route:
    try:
        destination = ipaddress.ip_network(one["dst"], strict=False)
        gateway = ipaddress.ip_address(one["gw"]) if one.get("gw") else None
        mtu, advmss, metric = (int(one.get(key) or 0) for key in ("mtu", "advmss", "priority"))
        table, scope = int(one.get("table") or MAIN_TABLE), one.get("scope")
        scope = None if scope is None else int(scope)
    except (KeyError, TypeError, ValueError) as problem:
        raise CniError(types.INVALID_CONFIG, f"route {one!r}: {problem}") from None
    return Route(destination, gateway, 0, metric, protocol=BOOT, table=table, mtu=mtu, advmss=advmss, scope=scope)


def _defaults(asked: Iterable[Route], gateways: Mapping[int, Address]) -> list[Route]:
    """By each family's gateway, where nobody asked for one."""
    there = {route.destination for route in asked}
    missing = (version for version in gateways if DEFAULT_ROUTES[version] not in there)
    return [Route(DEFAULT_ROUTES[version], gateway=gateways[version], protocol=BOOT) for version in missing]

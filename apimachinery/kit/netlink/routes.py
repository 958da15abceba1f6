"""Requests about addresses, routes and neighbours, and the reading of what the kernel says about them. Pure.

Sources: rtnetlink(7), linux/if_addr.h, linux/rtnetlink.h, linux/neighbour.h.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass, field

from apimachinery.kit.netlink import wire
from apimachinery.kit.netlink.links import mac_bytes, mac_text
from apimachinery.kit.netlink.wire import NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, Reply, Request

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_CACHEINFO, IFA_FLAGS = 1, 2, 4, 6, 8
IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x02, 0x08, 0x40
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS, RTA_TABLE = 1, 4, 5, 6, 7, 8, 15
RTAX_MTU, RTAX_ADVMSS = 2, 8
NDA_DST, NDA_LLADDR = 1, 2
NUD_NOARP, NUD_PERMANENT, NTF_MASTER = 0x40, 0x80, 0x04
RTNH_F_ONLINK = 4
MAIN_TABLE, LOCAL_TABLE = 254, 255
SCOPE_UNIVERSE, SCOPE_LINK, SCOPE_HOST = 0, 253, 254
TYPES = {
    "unicast": 1,
    "local": 2,
    "broadcast": 3,
    "multicast": 5,
    "blackhole": 6,
    "unreachable": 7,
    "prohibit": 8,
}
_TYPE_NAMES = {number: name for name, number in TYPES.items()}

_IFADDR = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_LIFETIMES = struct.Struct("=IIII")
_FOR_EVER = 0xFFFFFFFF
NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""the head of a neighbour (struct ndmsg): family, link, state, flags, type"""

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class LinkAddress:
    """An address on a link; `interface` carries the prefix length. `flags`: IFA_F_…, no part of what it is."""

    index: int
    interface: Interface
    flags: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Route:
    """A route of the main (or the named) table. `protocol` says who set it (rtnetlink(7)); 3 is boot, 4
    static.

    `kind` is unicast, unreachable, blackhole, prohibit, local, ...; `link` an index, 0 for none; `source` the
    preferred source address. `onlink` lets `gateway` be outside every connected network. `advmss` is the segment size
    told to TCP peers. `scope` is only written: the one that suits destination and gateway when None.
    """

    destination: Network
    gateway: Address | None = None
    link: int = 0
    metric: int = 0
    source: Address | None = None
    kind: str = "unicast"
    protocol: int = 4
    table: int = MAIN_TABLE
    mtu: int = 0
    onlink: bool = False
    advmss: int = 0
    scope: int | None = None


@dataclass(frozen=True)
class Neighbour:
    """A neighbour table entry; `mac` is empty while unresolved."""

    link: int
    address: Address
    mac: str
    state: int


def family_of(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def alone(address: Address) -> Network:
    """The network of this one address."""
    return ipaddress.ip_network(address)


def add_address(
    link: int,
    interface: Interface,
    *,
    exists_ok: bool = True,
    duplicate_detection: bool = False,
    answering_only: bool = False,
) -> Request:
    """IPv6 addresses are usable at once unless `duplicate_detection` is asked for (it takes a second or two).

    `answering_only`: the kernel answers for the address, and chooses it for nothing that it sends: in IPv4 by a scope
    that reaches the link alone, in IPv6 as one that is deprecated (RFC 4862, section 5.5.4).
    """
    scope = SCOPE_LINK if answering_only and interface.version == 4 else SCOPE_UNIVERSE
    parts = [_address_head(link, interface, 0 if duplicate_detection else IFA_F_NODAD, scope)]
    if answering_only and interface.version == 6:
        parts.append(wire.attribute(IFA_CACHEINFO, _LIFETIMES.pack(0, _FOR_EVER, 0, 0)))
    packed = interface.ip.packed
    parts += [wire.attribute(IFA_LOCAL, packed), wire.attribute(IFA_ADDRESS, packed)]
    network = interface.network
    if network.version == 4 and network.prefixlen < 31:
        parts.append(wire.attribute(IFA_BROADCAST, network.broadcast_address.packed))
    ignore = (errno.EEXIST,) if exists_ok else ()
    return Request(
        RTM_NEWADDR,
        NLM_F_CREATE | NLM_F_EXCL,
        b"".join(parts),
        f"add address {interface} to link {link}",
        ignore,
    )


def delete_address(link: int, interface: Interface) -> Request:
    payload = _address_head(link, interface, 0) + wire.attribute(IFA_LOCAL, interface.ip.packed)
    return Request(
        RTM_DELADDR,
        0,
        payload,
        f"delete address {interface} from link {link}",
        (errno.EADDRNOTAVAIL, errno.ENODEV),
    )


def add_route(route: Route, *, exists_ok: bool = False) -> Request:
    ignore = (errno.EEXIST,) if exists_ok else ()
    return Request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, _route(route), f"add {describe(route)}", ignore)


def replace_route(route: Route) -> Request:
    """Put the route in place of one with the same destination and metric, without a moment in which there is
    none.
    """
    return Request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _route(route), f"set {describe(route)}")


def delete_route(route: Route) -> Request:
    return Request(RTM_DELROUTE, 0, _route(route), f"delete {describe(route)}", (errno.ESRCH, errno.ENODEV))


def set_neighbour(link: int, address: Address, mac: str) -> Request:
    """A permanent neighbour entry."""
    head = NEIGHBOUR.pack(family_of(address.version), link, NUD_PERMANENT, 0, 0)
    payload = head + wire.attribute(NDA_DST, address.packed) + wire.attribute(NDA_LLADDR, mac_bytes(mac))
    return Request(
        RTM_NEWNEIGH,
        NLM_F_CREATE | NLM_F_REPLACE,
        payload,
        f"set neighbour {address} to {mac} on link {link}",
    )


def set_station(link: int, mac: str) -> Request:
    """A bridge's entry that this MAC is behind this port and nowhere else; it goes with the port."""
    head = NEIGHBOUR.pack(socket.AF_BRIDGE, link, NUD_NOARP, NTF_MASTER, 0)
    payload = head + wire.attribute(NDA_LLADDR, mac_bytes(mac))
    return Request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, payload, f"expect {mac} at bridge port {link}")


def delete_neighbour(link: int, address: Address) -> Request:
    head = NEIGHBOUR.pack(family_of(address.version), link, 0, 0, 0)
    payload = head + wire.attribute(NDA_DST, address.packed)
    return Request(RTM_DELNEIGH, 0, payload, f"delete neighbour {address} of link {link}", (errno.ENOENT,))


def dump_addresses() -> Request:
    return Request(RTM_GETADDR, NLM_F_DUMP, _IFADDR.pack(0, 0, 0, 0, 0), "list addresses")


def dump_routes(version: int = 0) -> Request:
    family = family_of(version) if version else 0
    return Request(RTM_GETROUTE, NLM_F_DUMP, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), "list routes")


def dump_neighbours() -> Request:
    return Request(RTM_GETNEIGH, NLM_F_DUMP, NEIGHBOUR.pack(0, 0, 0, 0, 0), "list neighbours")


def parse_address(reply: Reply, link: int = 0) -> LinkAddress | None:
    """None when the address is on another link than the one asked for (0: any)."""
    _, prefix, _, _, index = _IFADDR.unpack_from(reply.payload)
    if link not in (0, index):
        return None
    found = wire.attributes(reply.payload, _IFADDR.size)
    own = ipaddress.ip_address(found.get(IFA_LOCAL) or found[IFA_ADDRESS])
    return LinkAddress(index, ipaddress.ip_interface((own, prefix)), wire.as_int(found.get(IFA_FLAGS, b"\0")))


def parse_route(reply: Reply) -> Route | None:
    """None for multicast routing entries and families other than IPv4 and IPv6."""
    family, prefix, _, _, table, protocol, _, kind, flags = _ROUTE.unpack_from(reply.payload)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    found = wire.attributes(reply.payload, _ROUTE.size)
    width = 4 if family == socket.AF_INET else 16
    destination = ipaddress.ip_network((found.get(RTA_DST, bytes(width)), prefix))
    metrics = wire.attributes(found.get(RTA_METRICS, b""))
    return Route(
        destination=destination,
        gateway=_address(found.get(RTA_GATEWAY)),
        link=wire.as_int(found.get(RTA_OIF, b"\0")),
        metric=wire.as_int(found.get(RTA_PRIORITY, b"\0")),
        source=_address(found.get(RTA_PREFSRC)),
        kind=_TYPE_NAMES.get(kind, str(kind)),
        protocol=protocol,
        table=wire.as_int(found[RTA_TABLE]) if RTA_TABLE in found else table,
        mtu=wire.as_int(metrics.get(RTAX_MTU, b"\0")),
        onlink=bool(flags & RTNH_F_ONLINK),
        advmss=wire.as_int(metrics.get(RTAX_ADVMSS, b"\0")),
    )


def parse_neighbour(reply: Reply) -> Neighbour | None:
    """None for bridge forwarding entries, which share the dump."""
    family, index, state, _, _ = NEIGHBOUR.unpack_from(reply.payload)
    found = wire.attributes(reply.payload, NEIGHBOUR.size)
    address = _address(found.get(NDA_DST))
    if family not in (socket.AF_INET, socket.AF_INET6) or address is None:
        return None
    return Neighbour(index, address, mac_text(found.get(NDA_LLADDR, b"")), state)


def describe(route: Route) -> str:
    words = [] if route.kind == "unicast" else [route.kind]
    words += ["route", str(route.destination)]
    if route.gateway:
        words += ["via", str(route.gateway)]
    if route.link:
        words += ["on link", str(route.link)]
    return " ".join(words)


def _address_head(link: int, interface: Interface, flags: int, scope: int = SCOPE_UNIVERSE) -> bytes:
    return _IFADDR.pack(family_of(interface.version), interface.network.prefixlen, flags, scope, link)


def _route(route: Route) -> bytes:
    destination = route.destination
    direct = route.gateway is None and route.kind == "unicast"
    scope = SCOPE_LINK if direct and destination.version == 4 else SCOPE_UNIVERSE
    if route.kind == "local" and destination.version == 4:
        scope = SCOPE_HOST
    if route.scope is not None:
        scope = route.scope
    flags = RTNH_F_ONLINK if route.onlink else 0
    table = route.table if route.table < 256 else 0
    parts = [
        _ROUTE.pack(
            family_of(destination.version), destination.prefixlen, 0, 0, table, route.protocol, scope,
            TYPES[route.kind], flags,
        )
    ]  # fmt: skip
    if destination.prefixlen:
        parts.append(wire.attribute(RTA_DST, destination.network_address.packed))
    if route.gateway is not None:
        parts.append(wire.attribute(RTA_GATEWAY, route.gateway.packed))
    if route.link:
        parts.append(wire.u32(RTA_OIF, route.link))
    if route.metric:
        parts.append(wire.u32(RTA_PRIORITY, route.metric))
    if route.source is not None:
        parts.append(wire.attribute(RTA_PREFSRC, route.source.packed))
    metrics = [wire.u32(kind, value) for kind, value in ((RTAX_MTU, route.mtu), (RTAX_ADVMSS, route.advmss)) if value]
    if metrics:
        parts.append(wire.nested(RTA_METRICS, *metrics))
    parts.append(wire.u32(RTA_TABLE, route.table))
    return b"".join(parts)


def _address(value: bytes | None) -> Address | None:
    return None if value is None else ipaddress.ip_address(value)

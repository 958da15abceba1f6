"""Requests about VXLAN devices (RFC 7348) and where they send: a device without groups or learning, told each far end.

    inner packet ── route ──> vxlan device ── neighbour: gateway → MAC ── forwarding entry: MAC → outer address ── UDP

Pure. Sources: linux/if_link.h (IFLA_VXLAN_*), linux/neighbour.h, drivers/net/vxlan in the kernel's tree.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass

from apimachinery.kit.netlink import links, routes, wire
from apimachinery.kit.netlink.links import End, Link
from apimachinery.kit.netlink.routes import Address
from apimachinery.kit.netlink.wire import NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, Reply, Request

KIND = "vxlan"
PORT = 4789
OVERHEAD = {4: 50, 6: 70}
"""Bytes that a device adds to an inner packet (IP, UDP, VXLAN, inner Ethernet), by the version of the outer address."""

_ID, _LEARNING, _PORT = 1, 7, 15
_LOCAL = {4: 4, 6: 17}
_SELF = 0x02


@dataclass(frozen=True)
class Tunnel:
    """A device's own end: network number (24 bits), UDP port, outer source address."""

    number: int
    port: int
    local: Address


@dataclass(frozen=True)
class FarEnd:
    """Frames for `mac` go to `address`."""

    mac: str
    address: Address


def add(end: End, tunnel: Tunnel) -> Request:
    """A device that learns nothing and floods nothing: what has no forwarding entry is dropped."""
    return links.create(
        end,
        KIND,
        wire.u32(_ID, tunnel.number),
        wire.u8(_LEARNING, 0),
        wire.attribute(_PORT, struct.pack("!H", tunnel.port)),
        wire.attribute(_LOCAL[tunnel.local.version], tunnel.local.packed),
        asked=f"add vxlan {end.name} from {tunnel.local}",
    )


def tunnel_of(link: Link) -> Tunnel | None:
    """What a VXLAN device is set to; None for another kind of link, and for one that was set up otherwise than `add`
    does."""
    if link.kind != KIND or _ID not in link.data or wire.as_int(link.data.get(_LEARNING, b"\1")):
        return None
    local = next((link.data[kind] for kind in _LOCAL.values() if kind in link.data), None)
    if local is None or _PORT not in link.data:
        return None
    port = struct.unpack("!H", link.data[_PORT])[0]
    return Tunnel(wire.as_int(link.data[_ID]), port, ipaddress.ip_address(local))


def set_far_end(link: int, end: FarEnd) -> Request:
    asked = f"send frames for {end.mac} on link {link} to {end.address}"
    return Request(routes.RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, _entry(link, end), asked)


def delete_far_end(link: int, end: FarEnd) -> Request:
    ignore = (errno.ENOENT, errno.ENODEV)
    return Request(routes.RTM_DELNEIGH, 0, _entry(link, end), f"forget {end.mac} on link {link}", ignore)


def dump_far_ends() -> Request:
    """Of all links: `parse_far_end` picks."""
    return Request(routes.RTM_GETNEIGH, NLM_F_DUMP, _head(0), "list forwarding entries")


def parse_far_end(reply: Reply, link: int) -> FarEnd | None:
    """None for entries of other links and of bridges."""
    family, index, _, _, _ = routes.NEIGHBOUR.unpack_from(reply.payload)
    found = wire.attributes(reply.payload, routes.NEIGHBOUR.size)
    if family != socket.AF_BRIDGE or index != link or routes.NDA_DST not in found or routes.NDA_LLADDR not in found:
        return None
    return FarEnd(links.mac_text(found[routes.NDA_LLADDR]), ipaddress.ip_address(found[routes.NDA_DST]))


def _entry(link: int, end: FarEnd) -> bytes:
    mac = wire.attribute(routes.NDA_LLADDR, links.mac_bytes(end.mac))
    return _head(link) + mac + wire.attribute(routes.NDA_DST, end.address.packed)


def _head(link: int) -> bytes:
    return routes.NEIGHBOUR.pack(socket.AF_BRIDGE, link, routes.NUD_PERMANENT, _SELF, 0)

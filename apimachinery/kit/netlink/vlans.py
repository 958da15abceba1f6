"""Requests about the VLANs of a bridge's ports, and the reading of what the kernel says about them. Pure.

Sources: linux/if_bridge.h, net/bridge/br_netlink.c.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from apimachinery.kit.netlink import links, wire
from apimachinery.kit.netlink.links import Link, LinkRef
from apimachinery.kit.netlink.wire import Reply, Request

MOST = 4094
"""the highest number of a VLAN"""
_IFLA_AF_SPEC, _IFLA_BRIDGE_VLAN_INFO = 26, 2
_IFLA_BR_VLAN_DEFAULT_PVID = 39
_RTEXT_FILTER_BRVLAN = 2
_PVID, _UNTAGGED, _RANGE_BEGIN, _RANGE_END = 2, 4, 8, 16
_HEAD = struct.Struct("=BxHiII")
_VLAN = struct.Struct("=HH")


@dataclass(frozen=True, order=True)
class Vlan:
    """A VLAN that a port is in. `native`: its frames have no tag there, and frames without one are its."""

    number: int
    native: bool = False


def filter_by(bridge: LinkRef) -> Request:
    """Have a bridge keep VLANs apart. Not every kernel without that says so: see `filters`."""
    settings = wire.nested(links.IFLA_INFO_DATA, wire.u8(links.IFLA_BR_VLAN_FILTERING, 1))
    info = wire.nested(links.IFLA_LINKINFO, wire.text(links.IFLA_INFO_KIND, "bridge"), settings)
    index = bridge if isinstance(bridge, int) else 0
    named = wire.text(links.IFLA_IFNAME, bridge) if isinstance(bridge, str) else b""
    payload = _HEAD.pack(socket.AF_UNSPEC, 0, index, 0, 0) + named + info
    return Request(links.RTM_NEWLINK, 0, payload, f"have bridge {bridge} keep VLANs apart")


def filters(bridge: Link) -> bool:
    """Whether a bridge keeps VLANs apart."""
    return wire.as_int(bridge.data.get(links.IFLA_BR_VLAN_FILTERING, b"\0")) == 1


def default_of(bridge: Link) -> int:
    """The VLAN that a port is in from when it joins the bridge; 0: none."""
    return wire.as_int(bridge.data.get(_IFLA_BR_VLAN_DEFAULT_PVID, b"\0"))


def add(port: int, wanted: Iterable[Vlan]) -> Request:
    """Put the port with this index into VLANs. The native one comes last: it is so in the place of another."""
    every = sorted(wanted, key=lambda vlan: (vlan.native, vlan.number))
    parts = []
    for first, last in _ranges(every):
        flags = _PVID | _UNTAGGED if first.native else 0
        if first == last:
            parts.append(wire.attribute(_IFLA_BRIDGE_VLAN_INFO, _VLAN.pack(flags, first.number)))
            continue
        for end, mark in ((first, _RANGE_BEGIN), (last, _RANGE_END)):
            parts.append(wire.attribute(_IFLA_BRIDGE_VLAN_INFO, _VLAN.pack(flags | mark, end.number)))
    payload = _port(port) + wire.nested(_IFLA_AF_SPEC, *parts)
    return Request(links.RTM_SETLINK, 0, payload, f"put port {port} into VLANs")


def delete(port: int, number: int) -> Request:
    """Take the port out of a VLAN; of one it is not in, nothing is said."""
    spec = wire.nested(_IFLA_AF_SPEC, wire.attribute(_IFLA_BRIDGE_VLAN_INFO, _VLAN.pack(0, number)))
    return Request(links.RTM_DELLINK, 0, _port(port) + spec, f"take port {port} out of VLAN {number}")


def dump() -> Request:
    """Of all ports."""
    payload = _HEAD.pack(socket.AF_BRIDGE, 0, 0, 0, 0) + wire.u32(links.IFLA_EXT_MASK, _RTEXT_FILTER_BRVLAN)
    return Request(links.RTM_GETLINK, wire.NLM_F_DUMP, payload, "list VLANs")


def parse(reply: Reply) -> tuple[int, frozenset[Vlan]]:
    """(the port's index, its VLANs)."""
    index = _HEAD.unpack_from(reply.payload)[2]
    spec = wire.attributes(reply.payload, _HEAD.size).get(_IFLA_AF_SPEC, b"")
    told = (_VLAN.unpack(v) for kind, v in wire.every_attribute(spec) if kind == _IFLA_BRIDGE_VLAN_INFO)
    return index, frozenset(Vlan(number, bool(flags & _PVID)) for flags, number in told)


def _port(index: int) -> bytes:
    return _HEAD.pack(socket.AF_BRIDGE, 0, index, 0, 0)


def _ranges(every: Iterable[Vlan]) -> list[tuple[Vlan, Vlan]]:
    """(first, last) of numbers without a gap; a native one stands alone."""
    found: list[tuple[Vlan, Vlan]] = []
    for vlan in every:
        if found and not vlan.native and not found[-1][1].native and vlan.number == found[-1][1].number + 1:
            found[-1] = (found[-1][0], vlan)
        else:
            found.append((vlan, vlan))
    return found

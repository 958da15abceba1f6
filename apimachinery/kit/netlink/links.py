"""Requests about links (veth, bridge, ports) and the reading of what the kernel says about them. Pure.

A link is named in a request by its name or its index. Sources: rtnetlink(7), linux/if_link.h,
net/core/rtnetlink.c.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass, field

from apimachinery.kit.netlink import wire
from apimachinery.kit.netlink.wire import NLM_F_CREATE, NLM_F_EXCL, Reply, Request

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
IFF_UP, IFF_PROMISC, IFF_LOOPBACK, IFF_LOWER_UP = 0x1, 0x100, 0x8, 0x10000
IF_OPER_UP = 6
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_NET_NS_PID, IFLA_IFALIAS, IFLA_GROUP = 16, 18, 19, 20, 27
IFLA_NET_NS_FD, IFLA_EXT_MASK, IFLA_LINK_NETNSID = 28, 29, 37
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
VETH_INFO_PEER = 1
IFLA_BR_FORWARD_DELAY, IFLA_BR_STP_STATE, IFLA_BR_VLAN_FILTERING = 1, 5, 7
IFLA_BRPORT_STATE, IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED, IFLA_BRPORT_LOCKED = 1, 4, 33, 39
BR_STATE_DISABLED, BR_STATE_FORWARDING = 0, 3
NAME_LIMIT = 15

_INFO = struct.Struct("=BxHiII")
LinkRef = str | int


@dataclass(frozen=True)
class Link:
    """One link as the kernel reports it. `master` and `peer` are indexes, 0 when there is none; `kind` is "" for
    hardware.
    """

    index: int
    name: str
    up: bool
    mtu: int
    mac: str
    kind: str = ""
    master: int = 0
    peer: int = 0
    peer_namespace: int | None = None
    group: int = 0
    alias: str = ""
    flags: int = 0
    state: int = field(default=0, compare=False)
    """IF_OPER_…, operational status (RFC 2863): unknown, 0, until the kernel looks at the carrier, which is later"""
    slave: dict[int, bytes] = field(default_factory=dict, compare=False)
    data: dict[int, bytes] = field(default_factory=dict, compare=False)
    """IFLA_INFO_DATA: what only links of this kind have."""

    @property
    def hairpin(self) -> bool:
        return wire.as_int(self.slave.get(IFLA_BRPORT_MODE, b"\0")) == 1

    @property
    def locked(self) -> bool:
        return wire.as_int(self.slave.get(IFLA_BRPORT_LOCKED, b"\0")) == 1


@dataclass(frozen=True)
class End:
    """How one end of a veth (or any new link) shall look. `namespace` is an open descriptor; None: the
    socket's own.
    """

    name: str
    mac: str = ""
    mtu: int = 0
    master: int = 0
    up: bool = True
    namespace: int | None = None


def mac_bytes(mac: str) -> bytes:
    value = bytes.fromhex(mac.replace(":", "").replace("-", ""))
    if len(value) != 6:
        raise ValueError(f"{mac!r} is not an Ethernet address")
    return value


def mac_text(value: bytes) -> str:
    return value.hex(":")


def add_veth(near: End, far: End) -> Request:
    """A veth pair, both ends named, addressed and in their namespaces in this one message.

    The far end is always left down (the kernel refuses to raise it before its peer exists) and its `master`
    is not looked at: a `change(far.name, up=True)` in its namespace follows.
    """
    peer = wire.nested(VETH_INFO_PEER, _INFO.pack(0, 0, 0, 0, 0), _looks(far))
    return create(near, "veth", peer, asked=f"add veth {near.name} with peer {far.name}")


def add_bridge(end: End) -> Request:
    """A bridge without spanning tree; a port forwards at once (forward delay 0)."""
    return create(end, "bridge", wire.u32(IFLA_BR_FORWARD_DELAY, 0), wire.u32(IFLA_BR_STP_STATE, 0))


def add_dummy(end: End) -> Request:
    """A link that swallows what is sent by it; it may hold addresses."""
    return create(end, "dummy")


def delete(ref: LinkRef, missing_ok: bool = True) -> Request:
    ignore = (errno.ENODEV,) if missing_ok else ()
    return Request(RTM_DELLINK, 0, _info(ref) + _named(ref), f"delete link {ref}", ignore)


def delete_group(group: int) -> Request:
    """Delete every link of the group at once: one wait for the kernel's readers instead of one for each link."""
    payload = _info(0) + wire.u32(IFLA_GROUP, group)
    return Request(RTM_DELLINK, 0, payload, f"delete links of group {group}", (errno.ENODEV,))


def change(
    ref: LinkRef,
    *,
    up: bool | None = None,
    name: str = "",
    mac: str = "",
    mtu: int = 0,
    master: int | None = None,
    promiscuous: bool | None = None,
    namespace: int | None = None,
    group: int | None = None,
    alias: str | None = None,
) -> Request:
    """Change an existing link; only what is given. `master=0` takes it out of its bridge; `namespace` moves it there. A
    new `name` needs the link's index as `ref`.
    """
    if name and isinstance(ref, str):
        raise ValueError(f"renaming {ref} to {name} needs the link's index: a message carries one name")
    flags = mask = 0
    for bit, wanted in ((IFF_UP, up), (IFF_PROMISC, promiscuous)):
        if wanted is not None:
            mask |= bit
            flags |= bit if wanted else 0
    parts = [_info(ref, flags, mask)]
    if isinstance(ref, str):
        parts.append(_named(ref))
    if name:
        parts.append(wire.text(IFLA_IFNAME, name))
    if mac:
        parts.append(wire.attribute(IFLA_ADDRESS, mac_bytes(mac)))
    if mtu:
        parts.append(wire.u32(IFLA_MTU, mtu))
    if master is not None:
        parts.append(wire.u32(IFLA_MASTER, master))
    if namespace is not None:
        parts.append(wire.u32(IFLA_NET_NS_FD, namespace))
    if group is not None:
        parts.append(wire.u32(IFLA_GROUP, group))
    if alias is not None:
        parts.append(wire.text(IFLA_IFALIAS, alias))
    return Request(RTM_SETLINK, 0, b"".join(parts), f"change link {ref}")


def set_port(
    ref: LinkRef,
    *,
    hairpin: bool | None = None,
    isolated: bool | None = None,
    locked: bool | None = None,
    state: int | None = None,
    alias: str | None = None,
) -> Request:
    """Change a bridge port's settings, and in the same request the link's alias. `locked`: who sends is known, by
    `routes.set_station`, or not heard; kernels before 5.18 do not know the setting, and do not say so.
    """
    settings = []
    if hairpin is not None:
        settings.append(wire.u8(IFLA_BRPORT_MODE, int(hairpin)))
    if isolated is not None:
        settings.append(wire.u8(IFLA_BRPORT_ISOLATED, int(isolated)))
    if locked is not None:
        settings.append(wire.u8(IFLA_BRPORT_LOCKED, int(locked)))
    if state is not None:
        settings.append(wire.u8(IFLA_BRPORT_STATE, state))
    data = wire.nested(IFLA_INFO_SLAVE_DATA, *settings)
    info = wire.nested(IFLA_LINKINFO, wire.text(IFLA_INFO_SLAVE_KIND, "bridge"), data)
    named = wire.text(IFLA_IFALIAS, alias) if alias is not None else b""
    return Request(RTM_NEWLINK, 0, _info(ref) + _named(ref) + named + info, f"change bridge port {ref}")


def get(ref: LinkRef) -> Request:
    return Request(RTM_GETLINK, 0, _info(ref) + _named(ref), f"look up link {ref}")


def dump() -> Request:
    return Request(RTM_GETLINK, wire.NLM_F_DUMP, _info(0), "list links")


def parse(reply: Reply) -> Link:
    _, _, index, flags, _ = _INFO.unpack_from(reply.payload)
    found = wire.attributes(reply.payload, _INFO.size)
    info = wire.attributes(found.get(IFLA_LINKINFO, b""))
    namespace = found.get(IFLA_LINK_NETNSID)
    return Link(
        index=index,
        name=wire.as_text(found.get(IFLA_IFNAME, b"")),
        up=bool(flags & IFF_UP),
        mtu=wire.as_int(found.get(IFLA_MTU, b"\0")),
        mac=mac_text(found.get(IFLA_ADDRESS, b"")),
        kind=wire.as_text(info.get(IFLA_INFO_KIND, b"")),
        master=wire.as_int(found.get(IFLA_MASTER, b"\0")),
        peer=wire.as_int(found.get(IFLA_LINK, b"\0")),
        peer_namespace=None if namespace is None else struct.unpack("=i", namespace)[0],
        group=wire.as_int(found.get(IFLA_GROUP, b"\0")),
        alias=wire.as_text(found.get(IFLA_IFALIAS, b"")),
        flags=flags,
        state=wire.as_int(found.get(IFLA_OPERSTATE, b"\0")),
        slave=wire.attributes(info.get(IFLA_INFO_SLAVE_DATA, b"")),
        data=wire.attributes(info.get(IFLA_INFO_DATA, b"")),
    )


def create(end: End, kind: str, *data: bytes, asked: str = "") -> Request:
    """A new link of a kind; `data` are the attributes that only this kind has (IFLA_INFO_DATA)."""
    own = (wire.nested(IFLA_INFO_DATA, *data),) if data else ()
    info = wire.nested(IFLA_LINKINFO, wire.text(IFLA_INFO_KIND, kind), *own)
    payload = _head(end) + _looks(end) + info
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, asked or f"add {kind} {end.name}")


def _head(end: End) -> bytes:
    flags = IFF_UP if end.up else 0
    return _INFO.pack(0, 0, 0, flags, flags)


def _looks(end: End) -> bytes:
    if not 0 < len(end.name) <= NAME_LIMIT:
        raise ValueError(f"{end.name!r} is not an interface name: 1 to {NAME_LIMIT} characters")
    parts = [wire.text(IFLA_IFNAME, end.name)]
    if end.mac:
        parts.append(wire.attribute(IFLA_ADDRESS, mac_bytes(end.mac)))
    if end.mtu:
        parts.append(wire.u32(IFLA_MTU, end.mtu))
    if end.master:
        parts.append(wire.u32(IFLA_MASTER, end.master))
    if end.namespace is not None:
        parts.append(wire.u32(IFLA_NET_NS_FD, end.namespace))
    return b"".join(parts)


def _info(ref: LinkRef, flags: int = 0, mask: int = 0) -> bytes:
    return _INFO.pack(0, 0, ref if isinstance(ref, int) else 0, flags, mask)


def _named(ref: LinkRef) -> bytes:
    return wire.text(IFLA_IFNAME, ref) if isinstance(ref, str) else b""

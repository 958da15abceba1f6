"""The kernel's virtual servers (IPVS), by generic netlink packed by hand.

    virtual server   (protocol, address, port), a scheduler, perhaps persistence: where clients connect to
    real server      (address, port), a weight: where they are led, by translation of addresses

Requests are packed by pure functions; `Ipvs` sends them in the namespace it was opened in.
Sources: linux/ip_vs.h, net/netfilter/ipvs/ip_vs_ctl.c.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.netlink import NetlinkError, generic, wire

_NEW_SERVICE, _SET_SERVICE, _DEL_SERVICE, _GET_SERVICE = 1, 2, 3, 4
_NEW_DEST, _SET_DEST, _DEL_DEST, _GET_DEST = 5, 6, 7, 8
_SET_CONFIG = 12
_SERVICE, _DEST, _TIMEOUT_TCP, _TIMEOUT_TCP_FIN, _TIMEOUT_UDP = 1, 2, 4, 5, 6
PERSISTENT, _HASHED = 0x1, 0x2
SCHEDULER_2 = 0x10
"""the scheduler's second option: sh and mh look at the client's port, too"""
_TRANSLATE = 0
PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}

Target = tuple[str, int]
"""(address, port)"""


@dataclass(frozen=True, slots=True, order=True)
class Virtual:
    """Names a virtual server. `protocol`: TCP, UDP or SCTP."""

    protocol: str
    address: str
    port: int

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address else 4


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a virtual server chooses. `persistence`: seconds for which a client stays with its real server; 0: none."""

    scheduler: str
    persistence: int = 0
    options: int = 0
    """SCHEDULER_2 or nothing"""


@dataclass(frozen=True, slots=True)
class Real:
    """A real server as the kernel knows it. `connections`: those it still holds, ended ones that linger included."""

    weight: int
    connections: int = 0
    active: int = field(default=0, compare=False)
    """of the connections those that may still say something"""


def add_service(virtual: Virtual, schedule: Schedule) -> bytes:
    return generic.command(_NEW_SERVICE, _service(virtual, schedule))


def set_service(virtual: Virtual, schedule: Schedule) -> bytes:
    return generic.command(_SET_SERVICE, _service(virtual, schedule))


def delete_service(virtual: Virtual) -> bytes:
    return generic.command(_DEL_SERVICE, _service(virtual))


def add_real(virtual: Virtual, target: Target, weight: int) -> bytes:
    return generic.command(_NEW_DEST, _service(virtual), _dest(target, weight))


def set_real(virtual: Virtual, target: Target, weight: int) -> bytes:
    return generic.command(_SET_DEST, _service(virtual), _dest(target, weight))


def delete_real(virtual: Virtual, target: Target) -> bytes:
    return generic.command(_DEL_DEST, _service(virtual), _dest(target, 0))


def set_timeouts(tcp: int, tcp_fin: int, udp: int) -> bytes:
    """Seconds after which silent connections are forgotten; 0: as it is."""
    values = ((_TIMEOUT_TCP, tcp), (_TIMEOUT_TCP_FIN, tcp_fin), (_TIMEOUT_UDP, udp))
    return generic.command(_SET_CONFIG, *(wire.u32(kind, value) for kind, value in values))


class Ipvs(generic.Family):
    """One namespace's virtual servers (None: this thread's). Raises OSError; ENOENT where the kernel has no IPVS."""

    def __init__(self, namespace: netns.Namespace | None = None) -> None:
        super().__init__("IPVS", namespace)
        self._namespace = namespace

    def services(self) -> dict[Virtual, Schedule]:
        """Every virtual server but those of firewall marks."""
        packed = generic.command(_GET_SERVICE)
        found = self.dump(packed, "list virtual servers", lambda reply: parse_service(reply.payload))
        return dict(one for one in found if one)

    def reals(self, virtual: Virtual) -> dict[Target, Real] | None:
        """The real servers of one virtual server; None when there is no such."""
        packed = generic.command(_GET_DEST, _service(virtual))
        asked = f"list real servers of {virtual}"
        found = dict(self.dump(packed, asked, lambda reply: parse_real(reply.payload, virtual.version)))
        return found if found or self.schedule(virtual) else None

    def schedule(self, virtual: Virtual) -> Schedule | None:
        """How one virtual server chooses; None when there is no such."""
        packed = generic.command(_GET_SERVICE, _service(virtual))
        try:
            found = self.ask(packed, f"look up {virtual}", lambda reply: parse_service(reply.payload))
        except NetlinkError as refused:
            if refused.errno in (errno.ESRCH, errno.ENOENT):
                return None
            raise
        return found[1] if found else None

    def table(self) -> bytes:
        """/proc/net/ip_vs: all virtual and real servers in one read, which costs a hundredth of asking for each."""
        read = Path("/proc/thread-self/net/ip_vs").read_bytes
        return read() if self._namespace is None else netns.call(self._namespace, read)


def parse_service(payload: bytes) -> tuple[Virtual, Schedule] | None:
    """One answer to a listing; None for the virtual server of a firewall mark."""
    found = wire.attributes(wire.attributes(payload, generic.HEAD).get(_SERVICE, b""))
    if 4 not in found:
        return None
    version = 4 if wire.as_int(found[1]) == socket.AF_INET else 6
    flags = struct.unpack_from("=I", found[7])[0]
    protocol = wire.as_int(found[2])
    return (
        Virtual(
            _PROTOCOL_NAMES.get(protocol, str(protocol)), _text(found[3], version), int.from_bytes(found[4][:2], "big")
        ),
        Schedule(
            wire.as_text(found[6]), wire.as_int(found[8]) if flags & PERSISTENT else 0, flags & ~(PERSISTENT | _HASHED)
        ),
    )


def parse_real(payload: bytes, version: int) -> tuple[Target, Real]:
    """One answer to a listing of the real servers of a virtual server of that IP version."""
    found = wire.attributes(wire.attributes(payload, generic.HEAD)[_DEST])
    target = (_text(found[1], version), int.from_bytes(found[2][:2], "big"))
    active, ended = wire.as_int(found[7]), wire.as_int(found[8])
    return target, Real(wire.as_int(found[4]), active + ended, active)


_LINE = re.compile(
    rb"^(?:(TCP|UDP|SCTP) +|  -> )(\[[0-9a-fA-F:]+\]|[0-9A-F]{8}):([0-9A-F]{4}) +(?:Masq +(\d+) +(\d+) +(\d+))?",
    re.MULTILINE,
)
_HEAD = re.compile(
    rb"^(TCP|UDP|SCTP) +(\[[0-9a-fA-F:]+\]|[0-9A-F]{8}):([0-9A-F]{4}) .*\n(?:  -> .*\n)*",
    re.MULTILINE,
)
"""a virtual server's line and those of its real servers"""
_COUNTS = re.compile(rb" +\d+ +\d+ +$", re.MULTILINE)


def parse_table(table: bytes) -> dict[Virtual, Mapping[Target, Real]]:
    """Of /proc/net/ip_vs: the real servers of every virtual server (by translation alone)."""
    result: dict[Virtual, Mapping[Target, Real]] = {}
    reals: dict[Target, Real] = {}
    for protocol, address, port, weight, active, inactive in _LINE.findall(table):
        where = _proc_address(address), int(port, 16)
        if protocol:
            reals = {}
            result[Virtual(protocol.decode(), *where)] = reals
        elif weight:
            reals[where] = Real(int(weight), int(active) + int(inactive), int(active))
    return result


def without_counts(table: bytes) -> bytes:
    """/proc/net/ip_vs without numbers of connections: equal while nobody changes a server."""
    return _COUNTS.sub(b"", table)


def without(table: bytes, virtuals: Collection[Virtual]) -> bytes:
    """/proc/net/ip_vs without what it tells of these virtual servers and their real ones."""
    kept, end = [], 0
    # Put as the kernel prints them, which is less work than to read all the others.
    places = {(each.protocol.encode(), _as_proc(each.address), b"%04X" % each.port) for each in virtuals}
    for head in _HEAD.finditer(table) if places else ():
        if head.groups() in places:
            kept.append(table[end : head.start()])
            end = head.end()
    return b"".join((*kept, table[end:]))


def _proc_address(text: bytes) -> str:
    if text.startswith(b"["):
        return str(ipaddress.IPv6Address(text[1:-1].decode()))
    return socket.inet_ntoa(bytes.fromhex(text.decode()))


def _as_proc(address: str) -> bytes:
    given = ipaddress.ip_address(address)
    return b"[%s]" % given.exploded.encode() if given.version == 6 else given.packed.hex().upper().encode()


def _service(virtual: Virtual, schedule: Schedule | None = None) -> bytes:
    return wire.nested(_SERVICE, *_service_parts(virtual, schedule))


def _service_parts(virtual: Virtual, schedule: Schedule | None) -> Iterator[bytes]:
    family = socket.AF_INET if virtual.version == 4 else socket.AF_INET6
    yield _u16(1, family)
    yield _u16(2, PROTOCOLS[virtual.protocol])
    yield wire.attribute(3, socket.inet_pton(family, virtual.address).ljust(16, b"\0"))
    yield wire.attribute(4, virtual.port.to_bytes(2, "big"))
    if schedule:
        flags = schedule.options | (PERSISTENT if schedule.persistence else 0)
        yield wire.text(6, schedule.scheduler)
        yield wire.attribute(7, struct.pack("=II", flags, 0xFFFFFFFF))
        yield wire.u32(8, schedule.persistence)
        # Which part of a client's address makes it the same client: all of it. IPv6 counts bits.
        yield wire.u32(9, 0xFFFFFFFF if virtual.version == 4 else 128)


def _dest(target: Target, weight: int) -> bytes:
    address, port = target
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return wire.nested(
        _DEST,
        wire.attribute(1, socket.inet_pton(family, address).ljust(16, b"\0")),
        wire.attribute(2, port.to_bytes(2, "big")),
        wire.u32(3, _TRANSLATE),
        wire.u32(4, weight),
        wire.u32(5, 0),
        wire.u32(6, 0),
        _u16(11, family),
    )


def _u16(kind: int, value: int) -> bytes:
    return wire.attribute(kind, struct.pack("=H", value))


def _text(value: bytes, version: int) -> str:
    return socket.inet_ntop(*((socket.AF_INET, value[:4]) if version == 4 else (socket.AF_INET6, value[:16])))

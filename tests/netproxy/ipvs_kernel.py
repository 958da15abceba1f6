"""A kernel with IPVS, sets and a device, in memory: it takes what our applier sends, packed as it is sent, and refuses
what the kernel refuses. Follows packets, too."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from apimachinery.kit import ipvs
from apimachinery.kit.command import CommandError
from apimachinery.kit.ipvs import Real, Schedule, Target, Virtual
from apimachinery.kit.netlink import NetlinkError, wire
from netproxy.ground import Ground
from netproxy.iptables import diff as iptables_diff
from netproxy.ipvs import rules
from netproxy.ipvs.diff import Found, State, Steps
from netproxy.ipvs.host import DEVICE, Fingerprint
from netproxy.ipvs.options import SCHEDULERS
from tests.netproxy import iptables_tracer
from tests.netproxy.packet import LOCAL_ADDRESSES, End, Packet, collect


@dataclass
class _Service:
    schedule: Schedule
    reals: dict[Target, Real] = field(default_factory=dict)


class Kernel:
    """Of one family. `node`: the addresses of devices that are not ours."""

    def __init__(self, ground: Ground, schedulers: Collection[str] = SCHEDULERS) -> None:
        self.family = family = ground.family
        self._ground = ground
        self.node = frozenset(ip for ip in LOCAL_ADDRESSES if (":" in ip) == (family == 6) and ip not in _LOOPBACK)
        self.services: dict[Virtual, _Service] = {}
        self.sets: dict[str, set[str]] = {}
        self.bound: set[str] = set()
        self.device = False
        self.changes = 0
        self._schedulers = schedulers
        self.tables: iptables_tracer.Tables = iptables_tracer.empty(rules.JUMPS)

    # IPVS

    def command(self, packed: bytes, asked: str) -> None:
        """One generic netlink message. Raises NetlinkError as the kernel would."""
        self.changes += 1
        number = packed[0]
        parts = wire.attributes(packed, 4)
        service = wire.attributes(parts[1])
        virtual = _virtual(service)
        there = self.services.get(virtual)
        if number == 1:
            _refuse_if(there is not None, errno.EEXIST, asked)
            self.services[virtual] = _Service(self._schedule(service, asked))
            return
        if there is None:
            raise NetlinkError(errno.ESRCH, asked)
        if number == 2:
            there.schedule = self._schedule(service, asked)
        elif number == 3:
            del self.services[virtual]
        else:
            self._real(number, there, wire.attributes(parts[2]), virtual, asked)

    def _schedule(self, service: dict[int, bytes], asked: str) -> Schedule:
        if not {7, 8, 9} <= service.keys():
            raise NetlinkError(errno.EINVAL, asked)
        name = wire.as_text(service[6])
        _refuse_if(name not in self._schedulers, errno.ENOENT, asked)
        flags, mask = struct.unpack("=II", service[7])
        flags &= mask
        return Schedule(name, wire.as_int(service[8]) if flags & ipvs.PERSISTENT else 0, flags & ~ipvs.PERSISTENT)

    def _real(self, number: int, there: _Service, dest: dict[int, bytes], virtual: Virtual, asked: str) -> None:
        target = (_address(dest[1], virtual.version), int.from_bytes(dest[2], "big"))
        if number == 5:
            _refuse_if(target in there.reals, errno.EEXIST, asked)
            there.reals[target] = Real(wire.as_int(dest[4]))
            return
        _refuse_if(target not in there.reals, errno.ENOENT, asked)
        if number == 6:
            there.reals[target] = replace(there.reals[target], weight=wire.as_int(dest[4]))
        else:
            assert number == 7
            del there.reals[target]

    # sets

    def restore(self, text: str) -> None:
        """`ipset -exist restore`. Raises CommandError at the first refusal."""
        for line in text.splitlines():
            action, name, *rest = line.split()
            self.changes += 1
            if action == "create":
                self.sets.setdefault(name, set())
            elif name not in self.sets:
                raise CommandError(["ipset"], 1, f"{line}: the set does not exist", text.encode())
            elif action == "add":
                kind = rules.SETS[self._plain(name)]
                if rest[0].count(",") != kind.count(",") or "/0" in rest[0]:
                    raise CommandError(["ipset"], 1, f"{line}: no member of a {kind}", text.encode())
                self.sets[name].add(rest[0])
            elif action == "del":
                self.sets[name].discard(rest[0])
            elif action == "destroy":
                if any(f"--match-set {name} " in rule for t in self.tables.values() for c in t.values() for rule in c):
                    raise CommandError(["ipset"], 1, f"{line}: in use by a kernel component", text.encode())
                del self.sets[name]
            else:
                raise AssertionError(line)

    def _plain(self, name: str) -> str:
        return next(one for one in rules.SETS if rules.set_name(one, self.family) == name)

    # iptables

    def write_rules(self) -> None:
        """The fixed rules; a rule that asks a set which is not there is refused."""
        text = iptables_diff.rebuild((), self._ground, {}, (), layout=rules.LAYOUT)
        for line in text.splitlines():
            if "--match-set" in line:
                name = line.partition("--match-set ")[2].split(" ")[0]
                assert name in self.sets, f"iptables-restore: Set {name} doesn't exist."
        iptables_tracer.apply(self.tables, text)

    # packets

    def trace(self, packet: Packet) -> dict[End, float]:
        """Where the packet may end."""
        for table in self.tables.values():
            table.update({f"@{name}": sorted(members) for name, members in self.sets.items()})
        return collect(self._journey(packet))

    def _journey(self, packet: Packet) -> Iterator[tuple[End, float]]:
        start = "OUTPUT" if packet.from_here else "PREROUTING"
        for refused, verdict in iptables_tracer.chain(self.tables["mangle"], start, packet):
            if verdict == "DROP":
                yield End("drop"), refused.weight
                continue
            for state, _ in iptables_tracer.chain(self.tables["nat"], start, refused):
                yield from self._received(state)

    def _received(self, packet: Packet) -> Iterator[tuple[End, float]]:
        local = packet.dst in self.node or packet.dst in self.bound or packet.dst in _LOOPBACK
        service = self.services.get(Virtual(packet.protocol.upper(), packet.dst, packet.dport))
        if packet.from_here and service:
            yield from self._served(packet, service)
            return
        hook = "INPUT" if local else "FORWARD"
        for state, verdict in iptables_tracer.chain(self.tables["filter"], hook, packet):
            if verdict in ("DROP", "REJECT"):
                yield End(verdict.lower()), state.weight
            elif local and service:
                yield from self._served(state, service)
            else:
                yield End("untouched"), state.weight

    def _served(self, packet: Packet, service: _Service) -> Iterator[tuple[End, float]]:
        weights = {target: real.weight for target, real in service.reals.items() if real.weight}
        if not weights:
            # The kernel answers by itself.
            yield End("reject"), packet.weight
        for (ip, port), weight in weights.items():
            sent = packet.to(ip, port).share(weight / sum(weights.values()))
            for last, verdict in iptables_tracer.chain(self.tables["nat"], "POSTROUTING", sent):
                target = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
                yield End("sent", target, verdict == "MASQUERADE"), last.weight


_LOOPBACK = ("127.0.0.1", "::1")


class FakeHost:
    """netproxy.ipvs.host.Host, over such a kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.tables_read = 0

    async def open(self) -> None:
        """All is there."""

    def close(self) -> None:
        """There are no handles."""

    async def prepare(self) -> None:
        self.kernel.device = True
        self.kernel.restore(rules.creation(self.kernel.family))

    async def read(self) -> State:
        members = {name: frozenset(entries) for name, entries in self.kernel.sets.items()}
        return State(self.servers(self.kernel.services), members, frozenset(self.kernel.bound))

    def servers(self, wanted: Iterable[Virtual]) -> dict[Virtual, Found]:
        there = self.kernel.services
        return {v: Found(there[v].schedule, dict(there[v].reals)) for v in wanted if v in there}

    def addresses(self) -> tuple[frozenset[str], frozenset[str]]:
        return frozenset(self.kernel.bound), self.kernel.node

    async def fill(self, steps: Steps) -> None:
        self.kernel.restore(steps.fill)

    async def serve(self, steps: Steps) -> None:
        for packed, asked in steps.serve:
            self.kernel.command(packed, asked)
        self.kernel.changes += len(steps.bind) + len(steps.unbind)
        for ip in steps.bind:
            assert self.kernel.device, f"no device {DEVICE}"
            self.kernel.bound.add(ip)
        self.kernel.bound -= set(steps.unbind)
        self.kernel.restore(steps.drain)

    def fingerprint(self) -> Fingerprint:
        self.tables_read += 1
        lines = [line for virtual, service in self.kernel.services.items() for line in _printed(virtual, service)]
        return Fingerprint(ipvs.without_counts("".join(lines).encode()), self.small_parts())

    def small_parts(self) -> object:
        return {name: frozenset(entries) for name, entries in self.kernel.sets.items()}

    def is_ours(self) -> bool:
        return self.kernel.device

    async def remove(self) -> None:
        self.kernel.device = False
        self.kernel.bound.clear()
        self.kernel.restore("".join(f"destroy {name}\n" for name in list(self.kernel.sets)))


def _printed(virtual: Virtual, service: _Service) -> Iterator[str]:
    """As /proc/net/ip_vs has it."""
    kept = service.schedule.persistence
    flags = f"persistent {kept * 1000} FFFFFFFF" if kept else ""
    yield f"{virtual.protocol}  {_hex((virtual.address, virtual.port))} {service.schedule.scheduler} {flags}\n"
    for target, real in service.reals.items():
        counts = f"{real.active:<10} {real.connections - real.active:<10}"
        yield f"  -> {_hex(target)}      Masq    {real.weight:<7d} {counts}\n"


def _hex(target: Target) -> str:
    address, port = ipaddress.ip_address(target[0]), target[1]
    shown = f"[{address.exploded}]" if address.version == 6 else f"{int(address):08X}"
    return f"{shown}:{port:04X}"


class FakeChains:
    """netproxy.iptables.apply.IptablesMode of our layout, over such a kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    async def open(self) -> None:
        """All is there."""

    async def prepare(self) -> None:
        """All is there."""

    async def rebuild(self, _routes: object) -> None:
        self.kernel.write_rules()

    async def cleanup(self, patience: float = 0.0) -> None:
        self.kernel.tables = iptables_tracer.empty(rules.JUMPS)

    async def tidy(self) -> None:
        """There is one back end."""

    def close(self) -> None:
        """There are no handles."""


def _virtual(service: dict[int, bytes]) -> Virtual:
    version = 4 if wire.as_int(service[1]) == socket.AF_INET else 6
    protocol = {number: name for name, number in ipvs.PROTOCOLS.items()}[wire.as_int(service[2])]
    return Virtual(protocol, _address(service[3], version), int.from_bytes(service[4], "big"))


def _address(value: bytes, version: int) -> str:
    return socket.inet_ntop(*((socket.AF_INET, value[:4]) if version == 4 else (socket.AF_INET6, value)))


def _refuse_if(condition: bool, code: int, asked: str) -> None:
    if condition:
        raise NetlinkError(code, f"{asked} {os.strerror(code)}")

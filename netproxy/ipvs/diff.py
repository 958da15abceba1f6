"""What is wanted against what the kernel has, as steps to take. Pure.

A real server of TCP that is not wanted any more keeps the connections it holds: it gets weight 0, which sends it no new
client, and goes when it is seen without a connection after that. Seen without one before, it may have got one since.
Connections of other protocols would never end by themselves and are given up at once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from apimachinery.kit import ipvs
from apimachinery.kit.ipvs import Real, Schedule, Target, Virtual
from netproxy.ipvs.plan import Bound, Key, Member, Server, Value

WEIGHT, LEAVING = 1, 0
Command = tuple[bytes, str]


@dataclass(frozen=True)
class Found:
    """A virtual server as the kernel has it."""

    schedule: Schedule
    reals: Mapping[Target, Real]


@dataclass(frozen=True)
class State:
    """All the kernel has."""

    servers: Mapping[Virtual, Found]
    members: Mapping[str, frozenset[str]]
    """of our sets, by their names"""
    addresses: frozenset[str]
    """of our device"""


@dataclass(frozen=True)
class Steps:
    """To take in this order, so that no packet comes to an address before somebody answers there."""

    fill: str = ""
    """for `ipset restore`: members that come"""
    serve: tuple[Command, ...] = ()
    """for IPVS: servers that come, change or leave"""
    bind: tuple[str, ...] = ()
    unbind: tuple[str, ...] = ()
    """addresses of the device"""
    drain: str = ""
    """for `ipset restore`: members that go"""
    leaving: frozenset[Virtual] = frozenset()
    """virtual servers with real servers that go when their connections have ended"""


def servers(
    wanted: Mapping[Virtual, Server | None], found: Mapping[Virtual, Found]
) -> tuple[tuple[Command, ...], frozenset[Virtual]]:
    """Commands for the virtual servers of `wanted` (None: it goes), and which of them have somebody leaving."""
    commands: list[Command] = []
    leaving: set[Virtual] = set()
    for virtual, server in wanted.items():
        there = found.get(virtual)
        if server is None:
            if there:
                commands.append((ipvs.delete_service(virtual), f"delete virtual server {_title(virtual)}"))
            continue
        if there is None:
            commands.append((ipvs.add_service(virtual, server.schedule), f"add virtual server {_title(virtual)}"))
        elif there.schedule != server.schedule:
            commands.append((ipvs.set_service(virtual, server.schedule), f"change virtual server {_title(virtual)}"))
        reals, waits = _reals(virtual, server.targets, there.reals if there else {})
        commands += reals
        if waits:
            leaving.add(virtual)
    return tuple(commands), frozenset(leaving)


def _reals(virtual: Virtual, targets: Collection[Target], found: Mapping[Target, Real]) -> tuple[list[Command], bool]:
    commands: list[Command] = []
    title, waits = _title(virtual), False
    for target in targets:
        if target not in found:
            commands.append((ipvs.add_real(virtual, target, WEIGHT), f"add {target} to {title}"))
        elif found[target].weight != WEIGHT:
            commands.append((ipvs.set_real(virtual, target, WEIGHT), f"give {target} of {title} weight {WEIGHT}"))
    for target in found.keys() - set(targets):
        leaving = found[target].weight == LEAVING
        if virtual.protocol != "TCP" or (leaving and not found[target].connections):
            commands.append((ipvs.delete_real(virtual, target), f"delete {target} from {title}"))
            continue
        waits = True
        if not leaving:
            commands.append((ipvs.set_real(virtual, target, LEAVING), f"give {target} of {title} weight {LEAVING}"))
    return commands, waits


def steps(come: Mapping[Key, Value], go: Mapping[Key, Value], found: Mapping[Virtual, Found]) -> Steps:
    """From the pieces that come (or change) and those that go. `found`: the virtual servers among them."""
    gone = {key: None for key in go.keys() - come.keys()}
    wanted = {key: value for key, value in come.items() if isinstance(value, Server)}
    serve, leaving = servers({**_only(Virtual, gone), **_only(Virtual, wanted)}, found)
    new, old = sorted(_only(Member, come)), sorted(_only(Member, gone))
    return Steps(
        fill="".join(f"add {one.set} {one.entry}\n" for one in new),
        serve=serve,
        bind=tuple(sorted(one.address for one in _only(Bound, come))),
        unbind=tuple(sorted(one.address for one in _only(Bound, gone))),
        drain="".join(f"del {one.set} {one.entry}\n" for one in old),
        leaving=leaving,
    )


def whole(pieces: Iterable[tuple[Key, Value]], state: State, spared: Collection[str]) -> Steps:
    """From all pieces and all the kernel has; what nobody claims goes, but virtual servers at addresses in `spared`
    (CIDRs) stay."""
    wanted = dict(pieces)
    members = (Member(name, entry) for name, entries in state.members.items() for entry in entries)
    there: set[Key] = {*members, *map(Bound, state.addresses)}
    come = {key: value for key, value in wanted.items() if key not in there}
    go: dict[Key, Value] = {key: True for key in (*there, *_mine(state, spared)) if key not in wanted}
    return steps(come, go, state.servers)


def stand(wanted: Mapping[Virtual, Server | None], found: Mapping[Virtual, Found]) -> bool:
    """Whether the kernel has these virtual servers (None: not) as they are wanted, whoever may still leave them."""
    staying = {}
    for virtual, there in found.items():
        targets = server.targets if (server := wanted.get(virtual)) else ()
        reals = {target: real for target, real in there.reals.items() if target in targets or real.weight != LEAVING}
        staying[virtual] = Found(there.schedule, reals)
    return not servers(wanted, staying)[0]


def is_busy(state: State, spared: Collection[str]) -> bool:
    """Whether somebody still speaks by a virtual server outside of `spared` (CIDRs)."""
    return any(real.active for virtual in _mine(state, spared) for real in state.servers[virtual].reals.values())


def _mine(state: State, spared: Collection[str]) -> set[Virtual]:
    excluded = [ipaddress.ip_network(cidr, strict=False) for cidr in spared]
    return {v for v in state.servers if not any(ipaddress.ip_address(v.address) in cidr for cidr in excluded)}


T = TypeVar("T")
V = TypeVar("V")


def _only(kind: type[T], pieces: Mapping[Any, V]) -> dict[T, V]:
    return {key: value for key, value in pieces.items() if isinstance(key, kind)}


def _title(virtual: Virtual) -> str:
    return f"{virtual.protocol} {virtual.address} port {virtual.port}"

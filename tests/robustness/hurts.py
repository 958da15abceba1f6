"""What can be done to servers and members: each hurts one of them, and heals it again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.etcds import Home, Member
from tests.robustness.servers import CLOCK
from tests.robustness.wires import Wired
from tests.robustness.world import World
from tests.waiting import until

# Steps of a wall clock, in seconds: within what certificates are good for.
_STEPS = (-240, -30, 600, 3600)
_PIECE = 1 << 20
_START = 180.0


async def kill(there: World) -> None:
    server = there.victim(there.servers)
    await server.signal(signal.SIGKILL)
    await server.start()


async def stop(there: World) -> None:
    server = there.victim(there.servers)
    await server.signal(signal.SIGSTOP)
    await asyncio.sleep(there.rng.uniform(0.2, 3.0))
    await server.signal(signal.SIGCONT)


async def restart(there: World) -> None:
    """As an upgrade does it: told to stop, waited for, started, and waited for before the next one's turn."""
    server = there.victim(there.servers)
    await server.signal(signal.SIGTERM)
    await server.start()
    await until(server.listens, _START, f"{server.url} is back", 0.05)


async def kill_member(there: World) -> None:
    member = there.victim(there.members)
    member.signal(signal.SIGKILL)
    await asyncio.sleep(there.rng.uniform(0.0, 2.0))
    member.start()


async def stop_member(there: World) -> None:
    member = there.victim(there.members)
    member.signal(signal.SIGSTOP)
    await asyncio.sleep(there.rng.uniform(0.1, 4.0))
    member.signal(signal.SIGCONT)


async def cut_member(there: World) -> None:
    """From the other members alone: API servers still reach it."""
    homes = there.homes[len(there.servers) :]
    await _cut(there, there.victim(homes), homes)


async def cut_server(there: World) -> None:
    """From all members: clients still reach it."""
    count = len(there.servers)
    await _cut(there, there.victim(there.homes[:count]), there.homes[count:])


async def isolate_member(there: World) -> None:
    """From everybody."""
    await _cut(there, there.victim(there.homes[len(there.servers) :]), there.homes)


async def _cut(there: World, home: Home, others: Iterable[Home]) -> None:
    assert isinstance(home, Wired)
    await home.cut_off(other for other in others if other != home)
    await asyncio.sleep(there.rng.uniform(0.5, 6.0))
    await home.heal()


async def fill_disk(there: World) -> None:
    """Whoever ends because of it is started again when there is room."""
    disk = there.victim(there.disks)
    at, filler = there.disks.index(disk), disk / "wht-filler"
    try:
        await asyncio.to_thread(_fill, filler)
        await asyncio.sleep(there.rng.uniform(0.5, 4.0))
    finally:
        filler.unlink()
    if at >= len(there.servers):
        _revive(there.members[at - len(there.servers)])


def _fill(path: Path) -> None:
    """To the last byte: whole pieces first, then pages."""
    with path.open("wb", buffering=0) as file:
        for size in (_PIECE, 4096):
            try:
                while True:
                    os.write(file.fileno(), bytes(size))
            except OSError:
                continue


def _revive(member: Member) -> None:
    assert member.process is not None
    if member.process.poll() is not None:
        member.start()


async def turn_clock(there: World) -> None:
    """The wall clock of one server jumps; it stays so until it jumps again."""
    server = there.victim(there.servers)
    assert server.clock is not None
    beside = server.clock.with_suffix(".new")
    beside.write_text(f"{there.rng.choice(_STEPS):+d}")
    beside.replace(server.clock)
    await asyncio.sleep(there.rng.uniform(1.5, 3.0))


@dataclass(frozen=True)
class Hurt:
    """needs: what has to be there: etcd, and what world.Shape has."""

    do: Callable[[World], Awaitable[None]]
    needs: tuple[str, ...] = ()


HURTS = {
    "kill": Hurt(kill),
    "stop": Hurt(stop),
    "restart": Hurt(restart),
    "kill-member": Hurt(kill_member, ("etcd",)),
    "stop-member": Hurt(stop_member, ("etcd",)),
    "cut-member": Hurt(cut_member, ("etcd", "wires")),
    "cut-server": Hurt(cut_server, ("etcd", "wires")),
    "isolate-member": Hurt(isolate_member, ("etcd", "wires")),
    "fill-disk": Hurt(fill_disk, ("disks",)),
    "turn-clock": Hurt(turn_clock, ("clocks",)),
}


def missing(hurt: Hurt, store: str) -> str:
    """Why it cannot be done here; "" when it can."""
    if "etcd" in hurt.needs and store != "etcd":
        return "it needs --store etcd"
    if os.geteuid() and {"wires", "disks"} & {*hurt.needs}:
        return "it needs root"
    if "clocks" in hurt.needs and not CLOCK:
        return "it needs Debian's package libfaketime"
    return ""

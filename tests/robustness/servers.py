"""An API server through its lives: each a fork of a process that has imported, as in a lab, or a program of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from apimachinery.kit import births
from lab.forks import Forks
from lab.process import Process
from tests.etcds import Home
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
CLOCK = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
"""Debian's libfaketime, where it is installed."""
_NOW = "+0"
_END_SECONDS = 180.0


class Program:
    """A life that was executed."""

    def __init__(self, argv: list[str], log: Path, environment: dict[str, str]) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(argv, stdout=output, stderr=output, cwd=ROOT, env=environment)
        self.pid = self._process.pid

    async def status(self) -> int | None:
        """How it ended, as subprocess.Popen tells it; None while it runs."""
        return self._process.poll()


class Fork:
    """A life that was forked, whose end is its parent's to know."""

    def __init__(self, forks: Forks, pid: int) -> None:
        self._forks, self.pid = forks, pid
        self._end: asyncio.Task[int] | None = None

    async def status(self) -> int | None:
        """The same."""
        # Its parent leaves it a zombie until it is asked.
        if self._end is None and not births.start_ticks(self.pid):
            self._end = asyncio.ensure_future(self._reaped())
        return None if self._end is None else await asyncio.shield(self._end)

    async def _reaped(self) -> int:
        told = await self._forks.reap(self.pid)
        return -signal.SIGKILL if told is None else os.waitstatus_to_exitcode(told)


class Server:
    """clock: a file that says how far its wall clock is turned. plant: a fault in it. forks: who makes its lives, where
    it needs neither a clock nor a home of its own.
    """

    def __init__(self, config: Path, url: str, home: Home, clock: Path | None, plant: str, forks: Forks | None) -> None:
        self.url, self.home, self.clock = url, home, clock
        self.log = config.with_suffix(".log")
        self._forks = None if clock or home.enter else forks
        self._life: Program | Fork | None = None
        # It is started by who killed it, and by who looks after all.
        self._turn = asyncio.Lock()
        module = [sys.executable, "-m", "tests.robustness.server", str(config)]
        self._argv = [*home.enter, *module, *([plant] if plant else [])]
        self._environment = dict(os.environ)
        if clock is not None:
            clock.write_text(_NOW)
            self._environment |= {
                "LD_PRELOAD": str(CLOCK[0]),
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }

    async def ended(self) -> bool:
        return self._life is None or await self._life.status() is not None

    async def refused(self) -> bool:
        """It ended by itself, as what does not start does."""
        return self._life is not None and await self._life.status() == 1

    def last_words(self, size: int = 600) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-size:]

    async def start(self) -> None:
        """Unless it runs."""
        async with self._turn:
            if await self.ended():
                self._life = await self._begun()

    async def _begun(self) -> Program | Fork:
        if self._forks is not None:
            process = Process(self.url, tuple(self._argv), str(self.log))
            if pid := await self._forks.start(process):
                return Fork(self._forks, pid)
        return Program(self._argv, self.log, self._environment)

    async def signal(self, number: int) -> None:
        """SIGKILL and SIGTERM: until that life has ended; another may have begun by then. AssertionError where it does
        not."""
        life = self._life
        if life is None or await life.status() is not None:
            return

        async def over() -> bool:
            return await life.status() is not None

        os.kill(life.pid, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            await until(over, _END_SECONDS, f"{self.url} has ended")

    async def listens(self) -> bool:
        """Raises OSError where it does not."""
        host, _, port = self.url.removeprefix("https://").rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        return True

    async def end(self) -> None:
        await self.signal(signal.SIGCONT)
        await self.signal(signal.SIGKILL)

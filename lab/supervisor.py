"""Keeps a lab's processes up: starts them, notices their end at once, starts them again.

A process that ends is started again after a pause that doubles from 0.1 s to 10 s and is forgotten after 30 s of life.
What runs is written down at every change, so that a supervisor started after a crash takes the
processes over without touching them: by pid and start time, and where that was lost by their whole arguments, so
that there is never a second of one. It listens on a unix socket for one JSON request a line::

    {"do": "start", "process": {...}}   {"do": "stop", "name": "..."}   {"do": "status"}   {"do": "quit"}

`quit` ends the supervisor alone: stop the processes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apimachinery.kit import births, command, settings
from apimachinery.kit.files import write_atomic
from apimachinery.kit.tasks import is_set_within
from lab import privileges, processes
from lab.forks import Forks, Lost
from lab.paths import Paths
from lab.process import Process

log = logging.getLogger(__name__)

PAUSE_FIRST, PAUSE_MAX, PAUSE_FORGET = 0.1, 10.0, 30.0
KILL_DEADLINE = 5.0
LOG_LIMIT = 16 << 20
LOG_CHECK_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Machine:
    """What this machine says about capabilities: whether they can be dropped, and which are needed to read us."""

    drops: bool = False
    reading: tuple[str, ...] = ()

    def limit(self, process: Process) -> Process:
        """The process as it can be started here."""
        kept = process.capabilities
        if not self.drops or kept == privileges.EVERYTHING:
            return dataclasses.replace(process, capabilities=privileges.EVERYTHING)
        return dataclasses.replace(process, capabilities=tuple(dict.fromkeys((*kept, *self.reading))))


@dataclasses.dataclass(frozen=True)
class _Remembered:
    """A child as it is written down."""

    process: Process
    pid: int
    ticks: int
    since: float
    restarts: int
    last_exit: str


class Child:
    """One process through its lives."""

    def __init__(
        self, process: Process, changed: Callable[[], None], may: Machine | None = None, forks: Forks | None = None
    ) -> None:
        self.process = process
        self._may = may or Machine()
        self._forks = forks
        self._is_fork = False
        self.pid = 0
        self.ticks = 0
        self.since = 0.0
        self.restarts = 0
        self.last_exit = ""
        self.wanted = True
        self.gone = asyncio.Event()
        self.gone.set()
        self._pause = PAUSE_FIRST
        self._descriptor = -1
        self._changed = changed
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[None] | None = None
        # Starting takes more than a turn of the loop; whoever stops waits for it.
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start it now, unless it was stopped meanwhile."""
        async with self._starting:
            self._timer = None
            if not self.wanted:
                return
            try:
                pid = await self._launch()
                self._watch(pid)
            except (command.CommandError, OSError) as error:
                self.last_exit = str(error)
                log.error("%s: %s", self.process.name, error)
                self._again()
                return
            privileges.lower_oom_score(pid, self.process.oom_score_adj)
            log.info("%s started, pid %d%s", self.process.name, pid, ", a fork" if self._is_fork else "")

    async def _launch(self) -> int:
        """One of ours is forked where that can be; every other program, and ours where it cannot, is executed."""
        process = self._may.limit(self.process)
        self._is_fork = False
        if self._forks is not None and process.is_ours:
            try:
                if pid := await self._forks.start(process):
                    self._is_fork = True
                    return pid
            except Lost:
                # It may be there all the same.
                file = _settings_file(process)
                await processes.kill([lambda: processes.daemons_of(file)])
        return command.start(process.command(), Path(process.log))

    def adopt(self, pid: int, ticks: int, restarts: int = 0) -> bool:
        """Take over a process that an earlier supervisor started; False when it has ended, or is not this one."""
        try:
            self._watch(pid)
        except (OSError, OverflowError):
            return False
        if self.ticks != ticks or not ticks or not self.process.is_run_by(processes.arguments(pid)):
            self._let_go()
            return False
        self.restarts = restarts
        log.info("%s adopted, pid %d", self.process.name, pid)
        return True

    async def stop(self) -> None:
        """End it: SIGTERM, its grace, SIGKILL. It stays ended."""
        self.wanted = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        async with self._starting:
            await self._end()

    async def _end(self) -> None:
        for number, patience in ((signal.SIGTERM, self.process.grace), (signal.SIGKILL, KILL_DEADLINE)):
            if self.gone.is_set():
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)
            await is_set_within(self.gone, patience)

    def _watch(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)
        self.pid = pid
        self.ticks = births.start_ticks(pid)
        self.since = time.time()
        self.gone.clear()
        asyncio.get_running_loop().add_reader(self._descriptor, self._ended)

    def _let_go(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self.pid = self.ticks = 0
        self.gone.set()

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self._work = asyncio.ensure_future(self._bury())

    async def _bury(self) -> None:
        pid = self.pid
        self.last_exit = await self._reap()
        self._let_go()
        log.info("%s (pid %d) ended: %s", self.process.name, pid, self.last_exit)
        if self.wanted:
            self.restarts += 1
            self._again()
        self._changed()

    async def _reap(self) -> str:
        status: int | None = None
        if self._is_fork and self._forks is not None:
            status = await self._forks.reap(self.pid)
        else:
            with contextlib.suppress(ChildProcessError):
                _, status = os.waitpid(self.pid, os.WNOHANG)  # noqa: ASYNC222  (WNOHANG does not block)
        if status is None:
            return "unknown (who started it has ended)"
        code = os.waitstatus_to_exitcode(status)
        return f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"

    def _again(self) -> None:
        if time.time() - self.since > PAUSE_FORGET:
            self._pause = PAUSE_FIRST
        self._timer = asyncio.get_running_loop().call_later(self._pause, self.start_again)
        self._pause = min(self._pause * 2, PAUSE_MAX)

    def start_again(self) -> None:
        """Begin to start it; nobody waits."""
        self._work = asyncio.ensure_future(self._started_again())

    async def _started_again(self) -> None:
        await self.start()
        self._changed()


class Supervisor:
    """All children of one lab and the socket through which they are managed."""

    def __init__(self, paths: Paths, machine: Machine | None = None, forks: Forks | None = None) -> None:
        self._machine = machine or Machine()
        self._forks = forks
        self._lab = paths.lab
        self._state = paths.supervisor_state
        self._daemons_below = paths.state
        self._children: dict[str, Child] = {}
        # Daemons of this lab that run without our knowing, by their settings file: nothing but us starts more.
        self._unclaimed: dict[Path, set[int]] = {}
        self.quit = asyncio.Event()

    def resume(self) -> None:
        """Take over what an earlier supervisor left, and begin to start again what has ended since.

        What a damaged file does not say is taken over once it is asked for (`start`).
        """
        for pid in processes.daemons_below(self._daemons_below):
            if (file := processes.settings_of(pid)) is not None:
                self._unclaimed.setdefault(file, set()).add(pid)
        for process, pid, ticks, restarts in self._remembered():
            child = Child(process, self._save, self._machine, self._forks)
            self._children[child.process.name] = child
            if not child.adopt(pid, ticks, restarts) and not self._adopt_daemon(child):
                child.restarts = restarts + 1
                child.start_again()
        self._save()

    def _remembered(self) -> list[tuple[Process, int, int, int]]:
        """Process, pid, start ticks and restarts of each child; nothing when the file is not whole and ours."""
        try:
            told = json.loads(self._state.read_bytes())
            if told["lab"] != self._lab:
                raise ValueError(f"it is of lab {told['lab']!r}")
            children = [settings.of(_Remembered, child) for child in told["children"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, RecursionError, settings.SettingsError) as error:
            log.error("%s is not readable (%s); what runs is found by its arguments", self._state, error)
            return []
        return [(child.process, child.pid, child.ticks, child.restarts) for child in children]

    def _adopt_daemon(self, child: Child) -> bool:
        """Take over the process of this definition that runs without our knowing."""
        found = sorted(self._unclaimed.get(_settings_file(child.process), ()))
        return any(child.adopt(pid, births.start_ticks(pid)) for pid in found)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                try:
                    answer = await self._answer(json.loads(line))
                except (KeyError, TypeError, ValueError, settings.SettingsError) as error:
                    answer = {"error": f"bad request: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "start":
            await self._start(settings.of(Process, request["process"]))
        elif request["do"] == "stop":
            await self._stop(request["name"])
        elif request["do"] == "quit":
            self.quit.set()
        elif request["do"] != "status":
            raise ValueError(f"unknown request {request['do']!r}")
        return {"children": [self._report(child) for child in self._children.values()]}

    async def _start(self, process: Process) -> None:
        child = self._children.get(process.name)
        if child is not None and child.process == process:
            return
        if child is not None:
            await child.stop()
        child = Child(process, self._save, self._machine, self._forks)
        self._children[process.name] = child
        adopted = self._adopt_daemon(child)
        # Of one settings file there is one daemon: what else has it is an older definition, or a second one.
        if others := self._unclaimed.pop(_settings_file(process), set()) - {child.pid}:
            await processes.kill([lambda: others & processes.daemons_of(_settings_file(process))])
        if not adopted:
            await child.start()
        self._save()

    async def _stop(self, name: str) -> None:
        child = self._children.get(name)
        if child is not None:
            await child.stop()
            self._children.pop(name, None)
            self._save()

    def _report(self, child: Child) -> dict[str, Any]:
        return {
            "process": dataclasses.asdict(child.process),
            "pid": child.pid,
            "ticks": child.ticks,
            "since": child.since,
            "restarts": child.restarts,
            "last_exit": child.last_exit,
        }

    def _save(self) -> None:
        entries = [self._report(child) for child in self._children.values()]
        write_atomic(self._state, json.dumps({"lab": self._lab, "children": entries}).encode())

    async def trim_logs(self) -> None:
        """Keep each log under its limit: the old half goes to `.1` (writers append, so truncation is safe)."""
        while True:
            await asyncio.sleep(LOG_CHECK_SECONDS)
            for child in self._children.values():
                with contextlib.suppress(OSError):
                    _trim(Path(child.process.log))


def _settings_file(process: Process) -> Path:
    """What tells the daemons of a lab apart; they all end with it."""
    return Path(process.argv[-1])


def _trim(path: Path) -> None:
    if path.stat().st_size > LOG_LIMIT:
        path.with_name(path.name + ".1").write_bytes(path.read_bytes())
        os.truncate(path, 0)

"""Keeps a lab's processes up: starts them, notices their end at once, starts them again.

A process that ends is started again after a pause that doubles from 0.1 s to 10 s and is forgotten after
30 s of life. What runs is written down at every change, so that a supervisor started after a crash takes the
processes over without touching them. It listens on a unix socket for one JSON request a line::

    {"do": "start", "process": {...}}   {"do": "stop", "name": "..."}   {"do": "status"}   {"do": "quit"}

``quit`` ends the supervisor alone: stop the processes first.
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

from apimachinery.kit import command
from apimachinery.kit.files import write_atomic
from apimachinery.kit.tasks import is_set_within
from lab.process import Process

log = logging.getLogger(__name__)

PAUSE_FIRST, PAUSE_MAX, PAUSE_FORGET = 0.1, 10.0, 30.0
KILL_DEADLINE = 5.0
LOG_LIMIT = 16 << 20
LOG_CHECK_SECONDS = 60


def start_ticks(pid: int) -> int:
    """When the process was started, in clock ticks since boot (proc(5)); 0 when there is none (or a zombie).

    With the pid it names one process for ever, although pids are used again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def remembered(state: Path) -> list[tuple[int, int]]:
    """(pid, start ticks) of each process that a supervisor wrote down. OSError, ValueError when unreadable."""
    return [(entry["pid"], entry["ticks"]) for entry in json.loads(state.read_text(encoding="utf-8"))]


class Child:
    """One process through its lives."""

    def __init__(self, process: Process, changed: Callable[[], None]) -> None:
        self.process = process
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

    def start(self) -> None:
        """Start it now."""
        self._timer = None
        try:
            self.pid = command.start(self.process.command(), Path(self.process.log))
        except (command.CommandError, OSError) as error:
            self.last_exit = str(error)
            log.error("%s: %s", self.process.name, error)
            self._again()
            return
        self._watch()
        log.info("%s started, pid %d", self.process.name, self.pid)

    def adopt(self, pid: int, ticks: int, restarts: int) -> bool:
        """Take over a process that an earlier supervisor started; False when it has ended."""
        if not ticks or start_ticks(pid) != ticks:
            return False
        self.pid, self.restarts = pid, restarts
        try:
            self._watch()
        except ProcessLookupError:
            return False
        log.info("%s adopted, pid %d", self.process.name, pid)
        return True

    async def stop(self) -> None:
        """End it: SIGTERM, its grace, SIGKILL. It stays ended."""
        self.wanted = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for number, patience in ((signal.SIGTERM, self.process.grace), (signal.SIGKILL, KILL_DEADLINE)):
            if self.gone.is_set():
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)
            await is_set_within(self.gone, patience)

    def _watch(self) -> None:
        self._descriptor = os.pidfd_open(self.pid)
        self.ticks = start_ticks(self.pid)
        self.since = time.time()
        self.gone.clear()
        asyncio.get_running_loop().add_reader(self._descriptor, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self.last_exit = self._reap()
        self.gone.set()
        log.info("%s (pid %d) ended: %s", self.process.name, self.pid, self.last_exit)
        self.pid = self.ticks = 0
        if self.wanted:
            self.restarts += 1
            self._again()
        self._changed()

    def _reap(self) -> str:
        try:
            _, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return "unknown (started by an earlier supervisor)"
        code = os.waitstatus_to_exitcode(status)
        return f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"

    def _again(self) -> None:
        if time.time() - self.since > PAUSE_FORGET:
            self._pause = PAUSE_FIRST
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._restart)
        self._pause = min(self._pause * 2, PAUSE_MAX)

    def _restart(self) -> None:
        self.start()
        self._changed()


class Supervisor:
    """All children of one lab and the socket through which they are managed."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._children: dict[str, Child] = {}
        self.quit = asyncio.Event()

    def resume(self) -> None:
        """Take over what an earlier supervisor left, and start again what has ended since."""
        try:
            entries = json.loads(self._state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except ValueError:
            log.error("%s is not readable; processes it named are left alone", self._state)
            return
        for entry in entries:
            fields = dict(entry["process"], argv=tuple(entry["process"]["argv"]))
            child = Child(Process(**fields), self._save)
            self._children[child.process.name] = child
            if not child.adopt(entry["pid"], entry["ticks"], entry["restarts"]):
                child.restarts = entry["restarts"] + 1
                child.start()
        self._save()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                try:
                    answer = await self._answer(json.loads(line))
                except (KeyError, TypeError, ValueError) as error:
                    answer = {"error": f"bad request: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "start":
            await self._start(Process(**dict(request["process"], argv=tuple(request["process"]["argv"]))))
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
        child = Child(process, self._save)
        self._children[process.name] = child
        child.start()
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
        write_atomic(self._state, json.dumps(entries).encode())

    async def trim_logs(self) -> None:
        """Keep each log under its limit: the old half goes to ``.1`` (writers append, so truncation is safe)."""
        while True:
            await asyncio.sleep(LOG_CHECK_SECONDS)
            for child in self._children.values():
                with contextlib.suppress(OSError):
                    _trim(Path(child.process.log))


def _trim(path: Path) -> None:
    if path.stat().st_size > LOG_LIMIT:
        path.with_name(path.name + ".1").write_bytes(path.read_bytes())
        os.truncate(path, 0)

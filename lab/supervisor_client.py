"""Talking to a lab's supervisor: start it when there is none, then one request, one answer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery.kit import command, settings
from lab import processes
from lab.paths import Paths
from lab.process import Process

START_DEADLINE = 15.0
ANSWER_DEADLINE = 60.0
SOURCE = Path(__file__).resolve().parent.parent


class SupervisorError(Exception):
    """The supervisor cannot be reached or refuses; the message says where its log is."""


@dataclass(frozen=True)
class Report:
    """One process as the supervisor sees it; pid 0 while it is down."""

    process: Process
    pid: int
    since: float
    restarts: int
    last_exit: str


class Supervision:
    """The supervisor of one lab."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    async def ensure(self) -> None:
        """Have a supervisor run; one that already does is kept."""
        if await self._alive():
            return
        # One that lost its socket would go on restarting what the new one takes over.
        await processes.kill([lambda: processes.supervisors(self._paths.lab)])
        log = self._paths.logs / "supervisor.log"
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(SOURCE),
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            # etcd 3.4 wants to be told that it may run on such a machine.
            "ETCD_UNSUPPORTED_ARCH": "arm64",
            # glibc gives each thread an arena of its own, which single-threaded daemons with helpers never fill.
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_TRIM_THRESHOLD_": "131072",
        }
        # From the root directory: Python would find the person's modules before its own in theirs.
        argv = ["env", "--chdir=/", sys.executable, "-m", processes.SUPERVISOR, self._paths.lab]
        pid = command.start(argv, log, environment)
        deadline = time.monotonic() + START_DEADLINE
        while not await self._alive():
            ended, _ = os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222  (WNOHANG does not block)
            if ended or time.monotonic() > deadline:
                raise SupervisorError(f"the supervisor did not start; its log is {log}")
            await asyncio.sleep(0.01)

    async def start(self, process: Process) -> None:
        """Have `process` run (again, if it was defined otherwise before)."""
        await self._ask({"do": "start", "process": dataclasses.asdict(process)})

    async def stop(self, name: str) -> None:
        """End a process for good; fine when there is none of that name."""
        await self._ask({"do": "stop", "name": name})

    async def reports(self) -> list[Report]:
        """Every process; empty when no supervisor runs."""
        if not await self._alive():
            return []
        answer = await self._ask({"do": "status"})
        return [_report(child) for child in answer["children"]]

    async def pid(self, name: str) -> int:
        """The process of that name; 0 while there is none."""
        return next((report.pid for report in await self.reports() if report.process.name == name), 0)

    async def quit(self) -> None:
        """End the supervisor itself; its processes, if any, go on."""
        if await self._alive():
            await self._ask({"do": "quit"})

    async def _alive(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self._paths.supervisor_socket)
        except OSError:
            return False
        writer.close()
        return True

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._paths.supervisor_socket, limit=1 << 22)
        except OSError as error:
            raise SupervisorError(f"no supervisor runs for lab {self._paths.lab}: {error.strerror}") from error
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            line = await asyncio.wait_for(reader.readline(), ANSWER_DEADLINE)
        except (OSError, asyncio.TimeoutError) as error:
            raise SupervisorError(f"the supervisor of lab {self._paths.lab} gives no answer") from error
        finally:
            writer.close()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the supervisor ended"}
        if "error" in answer:
            raise SupervisorError(str(answer["error"]))
        return answer


def _report(child: dict[str, Any]) -> Report:
    process = settings.of(Process, child["process"])
    return Report(process, child["pid"], child["since"], child["restarts"], child["last_exit"])

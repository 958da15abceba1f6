"""The supervisor: a killed process comes back, and a new supervisor takes running ones over untouched."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import cast

from apimachinery.kit.births import start_ticks
from lab.forks import Forks
from lab.paths import Paths
from lab.process import Process
from lab.supervisor import Child, Supervisor
from tests.waiting import until


def process(tmp_path: Path, *argv: str, name: str = "a") -> Process:
    return Process(name, argv or ("sleep", "60"), str(tmp_path / f"{name}.log"), grace=2)


def test_a_killed_process_is_started_again_and_a_stopped_one_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Child(process(tmp_path), lambda: None)
        await child.start()
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.restarts == 1 and child.pid not in (0, first))
        assert child.last_exit == "signal SIGKILL"
        second = child.pid
        await child.stop()
        assert child.pid == 0
        assert start_ticks(second) == 0
        assert child._timer is None, "nothing is due that would start it"

    asyncio.run(scenario())


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    async def scenario() -> None:
        script = "trap '' TERM; echo ready; while :; do sleep 1; done"
        child = Child(process(tmp_path, "sh", "-c", script), lambda: None)
        await child.start()
        await until(lambda: (tmp_path / "a.log").exists() and (tmp_path / "a.log").read_text() == "ready\n")
        started = time.monotonic()
        await child.stop()
        assert time.monotonic() - started > 1.5
        assert child.last_exit == "signal SIGKILL"

    asyncio.run(scenario())


def test_a_program_that_does_not_exist_is_tried_again_and_reported(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Child(process(tmp_path, "/no/such/program"), lambda: None)
        await child.start()
        assert "no such program" in child.last_exit
        await child.stop()

    asyncio.run(scenario())


def test_the_next_supervisor_adopts_what_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        paths = Paths("whta", tmp_path)
        paths.run.mkdir(parents=True)
        first = Supervisor(paths)
        await first._answer({"do": "start", "process": process(tmp_path).__dict__})
        before = (await first._answer({"do": "status"}))["children"][0]
        second = Supervisor(paths)
        second.resume()
        after = (await second._answer({"do": "status"}))["children"][0]
        assert (after["pid"], after["ticks"]) == (before["pid"], before["ticks"])
        await first._answer({"do": "stop", "name": "a"})
        assert start_ticks(before["pid"]) == 0

    asyncio.run(scenario())


def test_a_supervisor_answers_while_it_starts_what_has_ended(tmp_path: Path) -> None:
    """Whoever started it waits for its answer, and not for what it forks from to have read the program."""

    class Slow:
        ready = asyncio.Event()

        async def start(self, process: Process) -> int:
            await self.ready.wait()
            return 0

    async def scenario() -> None:
        paths = Paths("whta", tmp_path)
        paths.run.mkdir(parents=True)
        ended = process(tmp_path, sys.executable, "-m", "tests.lab.waits", "--config", str(tmp_path / "a.yaml"))
        first = Supervisor(paths)
        first._children["a"] = Child(ended, lambda: None)
        first._save()
        slow = Slow()
        second = Supervisor(paths, forks=cast(Forks, slow))
        second.resume()
        (before,) = (await second._answer({"do": "status"}))["children"]
        assert (before["process"]["name"], before["pid"], before["restarts"]) == ("a", 0, 1)
        slow.ready.set()
        child = second._children["a"]
        await until(lambda: child.pid)
        await second._answer({"do": "stop", "name": "a"})
        assert child.pid == 0

    asyncio.run(scenario())

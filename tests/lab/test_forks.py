"""Daemons that are forked are what a program would be that was started so, and a lost fork server stops nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from apimachinery.kit.births import start_ticks
from lab import processes
from lab.forks import Forks, Lost
from lab.forkserver import Sources
from lab.process import Process
from lab.supervisor import Child
from tests.waiting import until

LAB = "whtforks"


def daemon(tmp_path: Path, module: str = "tests.lab.waits", *arguments: str) -> Process:
    argv = (sys.executable, "-m", module, *arguments, "--config", str(tmp_path / "a.yaml"))
    return Process("a", argv, str(tmp_path / "a.log"), grace=2)


def with_forks(tmp_path: Path, scenario: Callable[[Forks], Awaitable[None]]) -> None:
    async def run() -> None:
        forks = Forks(LAB, tmp_path / "forks.log")
        try:
            await scenario(forks)
        finally:
            forks.close()
        await until(lambda: not processes.fork_servers(LAB))

    asyncio.run(run())


def said(tmp_path: Path) -> str:
    return (tmp_path / "a.log").read_text() if (tmp_path / "a.log").exists() else ""


def test_a_fork_shows_its_own_arguments_writes_its_own_log_and_tells_how_it_ended(tmp_path: Path) -> None:
    async def scenario(forks: Forks) -> None:
        wanted = daemon(tmp_path)
        pid = await forks.start(wanted)
        while (shown := processes.arguments(pid)) != wanted.argv:
            assert shown, "it is somebody's at any moment"
        await until(lambda: "waits" in said(tmp_path))
        assert processes.arguments(pid) == wanted.argv
        assert os.getsid(pid) == pid and os.getpgid(pid) == pid
        assert said(tmp_path).split() == ["waits", "--config", str(tmp_path / "a.yaml"), "__main__"]
        opened = {each.name: str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
        log = str(tmp_path / "a.log")
        assert [opened.pop(n) for n in ("0", "1", "2")] == [os.devnull, log, log]
        assert not [place for place in opened.values() if place.startswith("socket:")]
        os.kill(pid, signal.SIGTERM)
        assert await forks.reap(pid) == signal.SIGTERM
        assert start_ticks(pid) == 0
        assert await forks.reap(pid) is None, "it is nobody's by now"

    with_forks(tmp_path, scenario)


def test_an_exit_status_is_handed_on(tmp_path: Path) -> None:
    async def scenario(forks: Forks) -> None:
        pid = await forks.start(daemon(tmp_path, "tests.lab.waits", "--fail"))
        status = await forks.reap(pid)
        assert status is not None and os.waitstatus_to_exitcode(status) == 3

    with_forks(tmp_path, scenario)


def test_a_module_that_cannot_be_read_is_left_to_a_program_of_its_own(tmp_path: Path) -> None:
    async def scenario(forks: Forks) -> None:
        assert await forks.start(daemon(tmp_path, "lab.no_such_module")) == 0
        child = Child(daemon(tmp_path, "lab.no_such_module"), lambda: None, forks=forks)
        await child.start()
        await until(lambda: "No module named lab.no_such_module" in said(tmp_path))
        await child.stop()

    with_forks(tmp_path, scenario)


def test_a_killed_fork_server_takes_nothing_along_and_the_next_start_has_a_new_one(tmp_path: Path) -> None:
    async def scenario(forks: Forks) -> None:
        child = Child(daemon(tmp_path), lambda: None, forks=forks)
        await child.start()
        first = child.pid
        await until(lambda: processes.arguments(first) == child.process.argv)
        (server,) = processes.fork_servers(LAB)
        os.kill(server, signal.SIGKILL)
        await until(lambda: start_ticks(server) == 0)
        assert start_ticks(first) != 0
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.restarts == 1 and child.pid not in (0, first))
        assert child.last_exit == "unknown (who started it has ended)"
        os.kill(second := child.pid, signal.SIGKILL)
        await until(lambda: child.restarts == 2 and child.pid not in (0, first, second))
        assert child.last_exit == "signal SIGKILL"
        await child.stop()

    with_forks(tmp_path, scenario)


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_start_without_an_answer_leaves_one_process_and_the_fork_server_that_others_have_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_begun: bool
) -> None:
    async def scenario(forks: Forks) -> None:
        real, made = forks.start, []

        async def lost(process: Process) -> int:
            made.append(await real(process))
            if has_begun:
                await until(lambda: "waits" in said(tmp_path))
            forks.close()
            forks.open()
            raise Lost

        monkeypatch.setattr(forks, "start", lost)
        child = Child(daemon(tmp_path), lambda: None, forks=forks)
        monkeypatch.setattr(processes, "_PACKAGES", (*processes._PACKAGES, "tests"))
        await child.start()
        await until(lambda: start_ticks(made[0]) == 0)
        assert start_ticks(child.pid) != 0
        # It bears the name by which it is found once it has begun.
        await until(lambda: processes.fork_servers(LAB) == {forks._pid})
        await child.stop()

    with_forks(tmp_path, scenario)


def test_what_an_earlier_supervisor_was_in_the_middle_of_is_ended_first(tmp_path: Path) -> None:
    async def scenario(forks: Forks) -> None:
        earlier = Forks(LAB, tmp_path / "forks.log")
        earlier.open()
        await until(lambda: processes.fork_servers(LAB) != set())
        await forks.take_over()
        assert processes.fork_servers(LAB) == set()
        earlier.close()

    with_forks(tmp_path, scenario)


def test_what_is_stopped_while_it_starts_stays_ended(tmp_path: Path) -> None:
    async def scenario(forks: Forks) -> None:
        child = Child(daemon(tmp_path), lambda: None, forks=forks)
        starting = asyncio.ensure_future(child.start())
        await asyncio.sleep(0)
        await child.stop()
        await starting
        assert child.pid == 0 and child.gone.is_set()

    with_forks(tmp_path, scenario)


def test_a_file_that_changed_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.forkserver.SOURCE", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "whtmodule.py"
    module.write_text("x = 1\n")
    __import__("whtmodule")
    sources = Sources()
    assert not sources.changed()
    os.utime(module, ns=(1, 1))
    assert sources.changed()
    del sys.modules["whtmodule"]


def test_a_program_that_changed_is_read_anew_by_the_same_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon is never run on modules of two states of the program."""
    source = Path(__file__).resolve().parents[2]
    copy = tmp_path / "program"
    for package in ("apimachinery", "lab", "tests/lab"):
        shutil.copytree(source / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "tests" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(copy))
    monkeypatch.chdir(tmp_path)

    async def scenario(forks: Forks) -> None:
        first = await forks.start(daemon(tmp_path))
        await until(lambda: processes.arguments(first)[2:3] == ("tests.lab.waits",))
        (server,) = processes.fork_servers(LAB)
        # After each answer it looks whether the program has changed, too; then it sleeps until it is asked.
        await until(lambda: Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[0] == "S")
        waits = copy / "tests" / "lab" / "waits.py"
        waits.write_text(waits.read_text().replace('"waits"', '"waits anew"'))
        os.utime(waits, ns=(1, 1))
        assert await forks.start(daemon(tmp_path)) == 0, "what it has read is of the old program"
        second = await forks.start(daemon(tmp_path))
        await until(lambda: "waits anew" in said(tmp_path))
        await until(lambda: processes.fork_servers(LAB) == {server})
        for pid in (first, second):
            os.kill(pid, signal.SIGKILL)
            assert await forks.reap(pid) == signal.SIGKILL, "also those of before are its children"

    with_forks(tmp_path, scenario)

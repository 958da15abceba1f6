"""Whose process is that? Programs that merely look at a lab's files are strangers, whatever their arguments."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apimachinery.kit import births
from lab import processes
from lab.process import Place, Process, entering

Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program; its pid once its arguments can be read."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*argv: str, executable: str | None = None) -> int:
        process = subprocess.Popen(argv, executable=executable, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        started.append(process)
        deadline = time.monotonic() + 60
        while processes.arguments(process.pid) != argv:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        return process.pid

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A lab's directory with one settings file, and a daemon's module that does nothing but wait."""
    (tmp_path / "lab" / "settings").mkdir(parents=True)
    (tmp_path / "lab" / "settings" / "proxy.yaml").touch()
    return tmp_path / "lab"


def daemon(home: Path) -> tuple[str, ...]:
    return (sys.executable, "-c", "import sys; sys.stdin.read()", "--config", str(home / "settings" / "proxy.yaml"))


def test_who_reads_a_labs_files_is_a_stranger(start: Start, home: Path, tmp_path: Path) -> None:
    settings = str(home / "settings" / "proxy.yaml")
    socket = str(home / "node1" / "containerd.sock")
    for argv in (
        ("tail", "-f", settings),
        daemon(home),
        (sys.executable, "-c", "import sys; sys.stdin.read()", "-m", "agent", "--config", settings),
        (sys.executable, "-c", "import sys; sys.stdin.read()", "-address", socket),
        ("containerd", "--config", settings),
        ("containerd-shim-runc-v2", "-namespace", "k8s.io", "-address", socket),
    ):
        # The last two lie about their names: another program runs under them.
        executable = sys.executable if argv[0].startswith("containerd") else None
        if executable:
            argv = (argv[0], "-c", "import sys; sys.stdin.read()", *argv[1:])
        pid = start(*argv, executable=executable)
        assert processes.settings_of(pid) is None, argv
    assert processes.daemons_below(home) == set()


def test_a_supervisor_is_the_program_of_one_lab(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lab"
    package.mkdir()
    (package / "supervise.py").write_text("import sys; sys.stdin.read()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    wait = ("-c", "import sys; sys.stdin.read()")
    strangers = {
        start(sys.executable, *wait, "-m", processes.SUPERVISOR, "whtx"),
        start(sys.executable, *wait, f"-m {processes.SUPERVISOR} whtx"),
        start(sys.executable, "-m", processes.SUPERVISOR, "whtxy"),
    }
    supervisor = start(sys.executable, "-m", processes.SUPERVISOR, "whtx")
    assert supervisor not in strangers
    assert processes.supervisors("whtx") == {supervisor}


def test_daemons_and_shims_are_known_by_program_and_whole_argument(
    start: Start, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, socket = str(home / "settings" / "proxy.yaml"), str(home / "node1" / "containerd.sock")
    package = tmp_path / "netproxy"
    package.mkdir()
    (package / "__main__.py").write_text("import sys; sys.stdin.read()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    # perl is small, waits when told to, and takes what follows the script as it is.
    for name in ("containerd", "containerd-shim-runc-v2"):
        shutil.copy("/usr/bin/perl", tmp_path / name)
    wait = ("-e", "sleep 600", "--")
    found = {
        start(sys.executable, "-m", "netproxy", "--config", settings),
        start(str(tmp_path / "containerd"), *wait, "--config", settings),
        start(str(tmp_path / "containerd-shim-runc-v2"), *wait, "-id", "x", "-address", socket),
    }
    assert processes.daemons_below(home) == found
    assert processes.daemons_below(home / "settings") == processes.daemons_of(Path(settings))
    assert processes.daemons_below(tmp_path / "la") == set(), "a directory, not the beginning of a text"


def test_the_arguments_of_a_process_on_its_way_into_a_node() -> None:
    wanted = Process("a", ("python", "-m", "agent", "--config", "x"), "log", namespace="/n", mounts="/m", uts="/u")
    assert wanted.command() == ["nsenter", "--net=/n", "--mount=/m", "--uts=/u", "--", *wanted.argv]
    assert wanted.is_run_by(wanted.argv)
    assert wanted.is_run_by(tuple(wanted.command()))
    assert not wanted.is_run_by(wanted.argv[:-1])
    assert not wanted.is_run_by((*wanted.argv, "more"))
    assert entering(Place()) == []


def test_only_what_is_found_is_killed_and_this_process_never(start: Start) -> None:
    victim, bystander = start("sleep", "600"), start("sleep", "601")
    everyone = {victim, bystander}

    def wanted() -> set[int]:
        return {pid for pid in everyone if processes.arguments(pid)[-1:] == ("600",)} | {os.getpid()}

    assert asyncio.run(processes.kill([wanted])) == set()
    assert births.start_ticks(victim) == 0
    assert births.start_ticks(bystander) > 0


def test_a_pid_that_names_another_process_by_then_is_spared(start: Start) -> None:
    """Found once, and no longer the wanted one when it is looked at again with its pidfd in hand."""
    pid = start("sleep", "600")
    answers = iter([{pid}, set[int](), set[int]()])
    asyncio.run(processes.kill([lambda: next(answers)]))
    assert births.start_ticks(pid) > 0

"""An enclosed command sees a machine on which nothing runs, and nothing of it is left afterwards."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import cgroups
from lab.paths import STATE
from lab.testing import enclosure
from tests.waiting import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def name() -> Iterator[str]:
    chosen = f"wht-{secrets.token_hex(3)}"
    yield chosen
    cgroups.remove(chosen)
    assert not cgroups.directories(chosen)


def enclosed(name: str, script: str) -> subprocess.CompletedProcess[str]:
    argv = enclosure.argv(name, ["sh", "-c", script])
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_it_has_a_network_processes_and_directories_of_its_own(name: str, tmp_path: Path) -> None:
    beside = Path("/run/whtbeside")
    beside.touch()
    try:
        done = enclosed(name, "ip -br link; echo $$; ls /run /tmp /var/tmp; echo x > /run/y; hostname whtz; echo $HOME")
    finally:
        beside.unlink()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["lo", "UNKNOWN"] and not lines[1].startswith("w")
    assert int(lines[1]) < 10, "a young machine"
    assert "whtbeside" not in done.stdout and not Path("/run/y").exists()
    assert os.uname().nodename != "whtz"
    assert lines[-1] == str(enclosure.HOME)


def test_a_lab_that_goes_from_the_machine_takes_nothing_along(name: str) -> None:
    """The last one removes the directory of all; where labs run on the machine now, it stays and this shows less."""
    STATE.mkdir(exist_ok=True)
    argv = enclosure.argv(name, ["sh", "-c", f"echo kept > {STATE}/file; echo made; read word; cat {STATE}/file"])
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as inside:
        assert inside.stdin and inside.stdout and inside.stdout.readline() == "made\n"
        with contextlib.suppress(OSError):
            STATE.rmdir()
        assert inside.communicate("go on\n", timeout=60)[0] == "kept\n"


def test_its_cgroups_are_its_own_and_hold_whoever_runs_in_it(name: str) -> None:
    names = "/sys/fs/cgroup/wht* /sys/fs/cgroup/*/wht*"
    done = enclosed(name, f"cat /proc/self/cgroup; ls -d {names}; find /sys/fs/cgroup -name cgroup.procs")
    inside = {line.split(":", 2)[2] for line in done.stdout.splitlines() if line[:1].isdigit()}
    assert inside <= {"/", "/init"}, "it sees itself at the root of every hierarchy"
    assert "/wht" not in done.stdout
    assert done.stdout.count("cgroup.procs") >= 1
    assert cgroups.cpu_seconds(name) > 0


def test_the_commands_status_is_told(name: str) -> None:
    assert enclosed(name, "exit 7").returncode == 7
    assert enclosed(name, "kill -9 $$").returncode == 137


def test_whatever_was_started_ends_with_it_and_orphans_are_reaped(name: str) -> None:
    script = "(setsid sleep 600 &) ; (true &) ; sleep 0.1; ps -eo stat,comm | grep -c '^Z' ; true"
    done = enclosed(name, script)
    assert done.stdout.strip() == "0", "somebody reaps"
    eventually(lambda: not cgroups.members(name), what="nobody lives on")


def test_it_ends_with_whoever_started_it(name: str) -> None:
    argv = enclosure.argv(name, ["sleep", "600"])
    starter = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.Popen({argv!r}); import time; time.sleep(600)"]
    )
    try:
        eventually(lambda: len(cgroups.members(name)) >= 3, what="it runs")
    finally:
        starter.send_signal(signal.SIGKILL)
        starter.wait()
    eventually(lambda: not cgroups.members(name), what="it ended, too")

"""Whatever is damaged, mounted over or killed: never a second daemon, no stranger killed, nothing left at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import processes, remains
from lab.paths import Paths
from tests.cluster.conftest import kubectl_path
from tests.cluster.lab import Lab, run, wherry
from tests.cluster.test_lifecycle import assert_nothing_left, own_ranges, snapshot
from tests.lab.damage import PID_REUSED, WAYS, damage, mend
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

NAME = "whtsmall"
PATHS = Paths(NAME)
DAEMONS = (
    "apiserver",
    "scheduler",
    "controllers",
    "cloud",
    "hostnet",
    "node1/containerd",
    "node1/agent",
    "node1/proxy",
)


@pytest.fixture
def before(lab: Lab) -> Iterator[dict[str, set[str]]]:
    """What the machine held; our lab is gone before, and afterwards, whatever happened."""
    down()
    found = snapshot()
    yield found
    down()


@pytest.fixture(scope="module")
def small(lab: Lab) -> Iterator[Lab]:
    """One lab of one node for what leaves it running."""
    wherry("up", "--name", NAME, "--nodes", "1")
    yield Lab(NAME, kubectl_path())
    wherry("down", "--name", NAME)


def down() -> None:
    """Where something is left."""
    if asyncio.run(remains.of(PATHS)):
        wherry("down", "--name", NAME, check=False)


def up() -> None:
    wherry("up", "--name", NAME, "--nodes", "1")


def pids() -> dict[str, set[int]]:
    """The daemons that run, by settings file: found without asking the supervisor."""
    found: dict[str, set[int]] = {}
    for pid in processes.daemons_below(PATHS.state):
        found.setdefault(str(processes.settings_of(pid)), set()).add(pid)
    return found


def end_supervisor() -> None:
    asyncio.run(processes.kill([lambda: processes.supervisors(NAME)]))


@pytest.mark.parametrize("way", [*WAYS, "pid reused"])
def test_a_supervisor_that_remembers_nothing_right_takes_over_what_runs(small: Lab, way: str) -> None:
    before = pids()
    assert sorted(map(len, before.values())) == [1] * len(DAEMONS)
    end_supervisor()
    if way == "pid reused":
        PID_REUSED(PATHS.supervisor_state)
    else:
        damage(PATHS.supervisor_state, way)
    if PATHS.supervisor_state.is_dir():
        # It cannot even write there; taking the place of a directory is nobody's right.
        PATHS.supervisor_state.rmdir()
    up()
    assert pids() == before
    assert {part["name"] for part in small.status()["components"]} == set(DAEMONS)


def test_a_second_supervisor_is_never_beside_the_first(small: Lab) -> None:
    before = pids()
    (first,) = processes.supervisors(NAME)
    PATHS.supervisor_socket.unlink()
    up()
    (second,) = processes.supervisors(NAME)
    assert second != first
    assert pids() == before


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_description_beside_a_whole_one_changes_nothing(small: Lab, way: str) -> None:
    before = pids()
    for path in (PATHS.spec, PATHS.spec_copy):
        text = path.read_bytes()
        try:
            damage(path, way)
            assert "node1" in small.wherry("status").stdout
        finally:
            mend(path, text)
    assert pids() == before


@pytest.mark.parametrize("way", WAYS)
def test_a_lab_that_nothing_describes_is_refused(small: Lab, way: str) -> None:
    """`up` makes no other lab of that name beside what runs, and says how to clear it away."""
    before, texts = pids(), {path: path.read_bytes() for path in (PATHS.spec, PATHS.spec_copy)}
    try:
        for path in texts:
            damage(path, way)
        done = wherry("up", "--name", NAME, "--nodes", "1", check=False)
        assert done.returncode == 1
        assert f"wherry down --name {NAME}" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        for path, text in texts.items():
            mend(path, text)
    assert pids() == before


# What is damaged when `down` comes, and what was done to the lab before.
STAGES: dict[str, Callable[[], object]] = {
    "running": list,
    "supervisor dead": lambda: asyncio.run(processes.kill([lambda: processes.supervisors(NAME)])),
    "everything dead": lambda: asyncio.run(processes.kill([lambda: remains.running(PATHS)])),
    "node off": lambda: wherry("node", "stop", "node1", "--name", NAME),
    "directories gone": lambda: run(["rm", "-rf", str(PATHS.state), str(PATHS.run)], check=False),
}


@pytest.mark.parametrize(
    ("stage", "way"),
    [
        ("running", "noise"),
        ("supervisor dead", "missing"),
        ("supervisor dead", "other types"),
        ("everything dead", "truncated"),
        ("node off", "of another lab"),
        ("directories gone", "missing"),
    ],
)
def test_down_goes_by_names(before: dict[str, set[str]], stage: str, way: str) -> None:
    up()
    ranges = own_ranges()
    STAGES[stage]()
    for path in (PATHS.spec, PATHS.spec_copy, PATHS.supervisor_state):
        if path.exists():
            damage(path, way)
    wherry("down", "--name", NAME)
    assert_nothing_left(before, ranges)
    assert remains.running(PATHS) == set()


def test_strangers_live_and_a_shell_in_the_node_too(before: dict[str, set[str]]) -> None:
    up()
    socket = str(PATHS.containerd_socket("node1"))
    settings = str(PATHS.settings / "apiserver.yaml")
    wait = "import sys; sys.stdin.read()"
    strangers = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for argv in (
            ["tail", "-f", str(PATHS.logs / "apiserver.log")],
            [sys.executable, "-c", wait, socket],
            [sys.executable, "-c", wait, "-address", socket],
            [sys.executable, "-c", wait, "-m", "controlplane.apiserver", "--config", settings],
            [sys.executable, "-m", "lab", "shell", "node1", "--name", NAME, "--", "sleep", "600"],
        )
    ]
    inside = strangers[-1].pid
    try:
        eventually(lambda: processes.arguments(inside) == ("sleep", "600"), what="the shell's command runs")
        wherry("down", "--name", NAME)
        assert [stranger.poll() for stranger in strangers] == [None] * len(strangers)
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()


@pytest.mark.parametrize("what", ["ip netns add", "tmpfs"])
def test_whoever_uses_the_directory_of_namespaces(before: dict[str, set[str]], what: str) -> None:
    up()
    ranges = own_ranges()
    directory = Path("/run/netns")
    if what == "tmpfs":
        run(["mount", "-t", "tmpfs", "tmpfs", str(directory)])
    else:
        run(["ip", "netns", "add", "whtx"])
    try:
        up()
        small = Lab(NAME, kubectl_path())
        assert " Ready" in small.kubectl("get", "nodes")
        assert small.on_node("node1", "ip", "-o", "link", "show", "eth0")
        wherry("down", "--name", NAME)
    finally:
        run(["umount", str(directory)] if what == "tmpfs" else ["ip", "netns", "del", "whtx"])
    assert_nothing_left(before, ranges)


def test_a_killed_down_is_finished_by_the_next(before: dict[str, set[str]]) -> None:
    up()
    ranges = own_ranges()
    for seconds in (0.3, 0.5):
        process = subprocess.Popen([sys.executable, "-m", "lab", "down", "--name", NAME], stderr=subprocess.DEVNULL)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    wherry("down", "--name", NAME)
    assert_nothing_left(before, ranges)

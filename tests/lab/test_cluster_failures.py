"""What a lab that does not come up says."""

import asyncio
import errno
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

import click
import pytest

from apimachinery import errors
from apimachinery.client import Client
from controlplane.cloud.nodes.plan import UNINITIALIZED
from lab import (
    cgroups,
    changes,
    cluster,
    health,
    heartbeats,
    machine,
    names,
    network,
    node,
    preflight,
    remains,
    room,
    state,
    uplink,
)
from lab import paths as places
from lab.commands import base
from lab.paths import Paths
from lab.process import Process
from lab.progress import Progress
from lab.spec import Spec, make
from lab.supervisor_client import Report
from tests.lab.test_spec import make as lab_of


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Paths:
    monkeypatch.setattr(places, "STATE", tmp_path)
    monkeypatch.setattr(room, "_PAUSE", 0.001)
    monkeypatch.setattr(room, "PATIENCE", 0.005)
    return Paths("lab")


def disk(monkeypatch: pytest.MonkeyPatch, *free: int) -> None:
    """The disk at its next looks; the last goes on."""
    looks = list(free)
    monkeypatch.setattr(room, "free", lambda directory: looks.pop(0) if len(looks) > 1 else looks[0])


@pytest.mark.parametrize(("free", "told"), [(1 << 20, True), (1 << 30, False)])
def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, paths: Paths, free: int, told: bool) -> None:
    disk(monkeypatch, free)
    assert ("no space left" in str(cluster._failed(paths, "no answer"))) is told


def test_a_change_of_proxy_modes_that_failed_is_made_by_the_next_attempt_also_back(
    monkeypatch: pytest.MonkeyPatch, paths: Paths
) -> None:
    started: list[tuple[str, str]] = []
    serve = True

    class Supervision:
        def __init__(self, paths: Paths) -> None:
            pass

        async def ensure(self) -> None:
            pass

        async def stop(self, name: str) -> None:
            pass

        async def start(self, process: Process) -> None:
            started.append((process.name, written[-1]))

    async def serves(address: str, port: int) -> bool:
        return serve or "node2" not in started[-1][0]

    async def nothing_lacks(mode: str) -> list[preflight.Finding]:
        return []

    written: list[str] = []
    monkeypatch.setattr(changes, "Supervision", Supervision)
    monkeypatch.setattr(cluster, "READY_DEADLINE", 0.0)
    monkeypatch.setattr(health, "is_well", serves)
    monkeypatch.setattr(preflight, "mode_findings", nothing_lacks)
    monkeypatch.setattr(node, "write_settings", lambda component: written.append(component.settings["mode"]))
    saved = lab_of(node_count=2)
    monkeypatch.setattr(state, "save", lambda paths, spec: None)

    def change(spec: Spec, mode: str, name: str = "") -> Spec:
        started.clear()
        return asyncio.run(changes.change_proxy_mode(spec, paths, mode, name, Progress(quiet=True)))

    serve = False
    with pytest.raises(cluster.ClusterError, match="node2 does not serve in mode iptables"):
        change(saved, "iptables")
    # What was saved before anything was done.
    saved, serve = saved.with_proxy_mode("iptables"), True
    change(saved, "iptables")
    assert started == [("node1/proxy", "iptables"), ("node2/proxy", "iptables")]
    change(saved, "nftables", "node2")
    assert started == [("node2/proxy", "nftables")]


def test_nothing_is_waited_for_on_a_full_disk(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
    disk(monkeypatch, 0)
    ended = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(room.NoRoomError) as told:
        asyncio.run(room.needed(paths, waits()))
    assert f"{paths.state} has no space left (0 MB free): have 32 MB free on that disk" in str(told.value)
    assert ended, "what waited has ended"


def test_what_cannot_be_written_names_the_labs_disk(paths: Paths) -> None:
    async def fails(number: int) -> None:
        raise OSError(number, "of a write, which names no file")

    with pytest.raises(room.NoRoomError, match=str(paths.state)):
        asyncio.run(room.needed(paths, fails(errno.ENOSPC)))
    with pytest.raises(PermissionError):
        asyncio.run(room.needed(paths, fails(errno.EACCES)))


def test_room_that_comes_back_is_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
    looks: list[int] = []

    def free(directory: Path) -> int:
        looks.append(0 if len(looks) % 3 else 1 << 30)
        return looks[-1]

    monkeypatch.setattr(room, "free", free)

    async def slow() -> str:
        while len(looks) < 20:
            await asyncio.sleep(0.001)
        return "up"

    assert asyncio.run(room.needed(paths, slow())) == "up"


def test_the_room_below_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    assert room.free(tmp_path / "not/yet/there") == pytest.approx(room.free(tmp_path), rel=0.1)


async def nothing(*_: object) -> None: ...


@pytest.fixture
def going(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A lab is taken away without a machine; the nodes that were switched off."""
    off: list[str] = []

    async def switch_off(paths: Paths, name: str) -> None:
        off.append(name)

    monkeypatch.setattr(node, "switch_off", switch_off)
    monkeypatch.setattr(uplink, "close_way", nothing)
    for module, name in ((network, "remove_links"), (network, "unfence"), (cgroups, "remove"), (machine, "restore")):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(cluster, "_end_processes", nothing)
    monkeypatch.setattr(cluster, "_remove_files", lambda *_: None)
    return off


def test_down_says_what_is_left(monkeypatch: pytest.MonkeyPatch, paths: Paths, going: list[str]) -> None:
    left: list[str] = ["link wh-lab", "cgroup /sys/fs/cgroup/x"]

    async def of(_: Paths) -> list[str]:
        return left

    monkeypatch.setattr(remains, "of", of)
    with pytest.raises(cluster.ClusterError, match="left of lab lab; run the same command again: link wh-lab, cgroup"):
        asyncio.run(cluster.down(paths, Progress(quiet=True)))
    left.clear()
    asyncio.run(cluster.down(paths, Progress(quiet=True)))


def test_down_switches_off_every_node_that_a_lab_can_have(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, going: list[str]
) -> None:
    """No file says which there are: it may be damaged, or older than the last `node add`."""
    monkeypatch.setattr(remains, "of", lambda _: nothing())
    asyncio.run(cluster.down(paths, Progress(quiet=True)))
    assert set(going) == set(names.NODES)


class Answers:
    """An API server that gives one answer to every question."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def request(self, *_: object, **__: object) -> None:
        raise self._error

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.ApiError("[+]ping ok\n[-]etcd-readiness failed: reason withheld\nreadyz check failed"), "cannot write"),
        (errors.ApiError("[-]informer-sync failed: reason withheld"), "does not answer"),
        (errors.Unreachable("refused"), "does not answer"),
    ],
)
def test_an_api_server_that_cannot_write_is_not_waited_for_like_one_that_begins(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, error: Exception, words: str
) -> None:
    disk(monkeypatch, 3 << 20)
    monkeypatch.setattr(cluster, "STORE_DEADLINE", 0.0)
    monkeypatch.setattr(cluster, "API_DEADLINE", 0.2)
    monkeypatch.setattr(cluster, "Authority", lambda paths, spec: type("A", (), {"kubeconfig": lambda self, who: ""})())
    monkeypatch.setattr(Client, "from_kubeconfig", lambda *_, **__: Answers(error))
    with pytest.raises(cluster.ClusterError, match=words) as told:
        spec = make("lab", 1, "nftables", pod_cidr=None, service_cidr=None, node_cidr=None, in_use=[])
        asyncio.run(cluster.ready_client(spec, paths))
    assert "no space left (3 MB free)" in str(told.value)


def supervising(name: str, restarts: int) -> type:
    """A supervisor with one process."""
    report = Report(Process(name, ("true",), log=""), 1, 0.0, restarts, "exit status 1" if restarts else "")

    class Supervised:
        def __init__(self, paths: Paths) -> None: ...

        async def reports(self) -> list[Report]:
            return [report]

    return Supervised


@pytest.mark.parametrize(
    ("restarts", "late", "told"),
    [(0, False, ""), (0, True, "does not answer"), (1, False, r"does not answer at \S+ \(it ended: exit status 1\)")],
)
def test_an_api_server_that_runs_is_waited_for_longer_than_one_that_ended(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, restarts: int, late: bool, told: str
) -> None:
    class Slow(Answers):
        asked = 0

        async def request(self, *_: object, **__: object) -> None:
            self.asked += 1
            if self.asked < 4:
                await super().request()

    monkeypatch.setattr(cluster, "Supervision", supervising("apiserver-2", restarts))
    monkeypatch.setattr(cluster, "API_DEADLINE", 0.0)
    monkeypatch.setattr(cluster, "API_PATIENCE", 0.01 if late else 60.0)
    monkeypatch.setattr(cluster, "Authority", lambda paths, spec: type("A", (), {"kubeconfig": lambda self, who: ""})())
    monkeypatch.setattr(Client, "from_kubeconfig", lambda *_, **__: Slow(errors.Unreachable("refused")))
    spec = make("lab", 1, "nftables", pod_cidr=None, service_cidr=None, node_cidr=None, in_use=[])
    if told:
        with pytest.raises(cluster.ClusterError, match=told):
            asyncio.run(cluster.ready_client(spec, paths))
    else:
        assert asyncio.run(cluster.ready_client(spec, paths))


@pytest.mark.parametrize(("number", "helps"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)])
def test_a_command_that_cannot_write_says_what_helps(number: int, helps: bool) -> None:
    async def fails() -> None:
        raise OSError(number, "why", "/var/lib/x")

    with pytest.raises(click.ClickException) as told:
        base.run(fails())
    assert ("free some space" in told.value.message) is helps
    assert "/var/lib/x" in told.value.message


BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
BEFORE, SINCE = "2026-01-02T03:04:04Z", "2026-01-02T03:04:06Z"


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> dict[Path, datetime]:
    """When the agents of two nodes were started, by their settings."""
    began = {paths.settings_of(f"{name}-agent"): BEGAN for name in ("node1", "node2")}
    monkeypatch.setattr(heartbeats, "agent_began", began.get)
    return began


def node_of(name: str, ready: bool, told: bool, beat: str = SINCE) -> dict[str, Any]:
    taints = [] if told else [{"key": UNINITIALIZED, "effect": "NoSchedule"}]
    conditions = [{"type": "Ready", "status": str(ready), "lastHeartbeatTime": beat}]
    return {"metadata": {"name": name}, "spec": {"taints": taints}, "status": {"conditions": conditions}}


class Nodes:
    """A client that lists some nodes, and tells what becomes of them to the n-th who watches."""

    def __init__(self, *listed: dict[str, Any], later: tuple[dict[str, Any], ...] = (), nth: int = 1) -> None:
        self.listed, self.later, self.silent = listed, later, nth - 1

    async def list(self, kind: object) -> dict[str, Any]:
        return {"items": self.listed, "metadata": {"resourceVersion": "1"}}

    async def watch(self, kind: object, resource_version: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        self.silent -= 1
        for each in self.later if self.silent < 0 else ():
            yield "MODIFIED", each
        await asyncio.Event().wait()


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_node_whose_agent_runs_is_waited_for_longer_than_one_whose_agent_ended(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, agents: dict[Path, datetime], restarts: int
) -> None:
    monkeypatch.setattr(cluster, "READY_DEADLINE", 0.05)
    monkeypatch.setattr(cluster, "Supervision", supervising("node1/agent", restarts))
    slow = cast(Client, Nodes(node_of("node1", False, True), later=(node_of("node1", True, True),), nth=2))
    waiting = cluster.nodes_ready(slow, paths, list(lab_of(node_count=1).nodes))
    if restarts:
        with pytest.raises(cluster.ClusterError, match="not Ready after 0 s: node1"):
            asyncio.run(waiting)
    else:
        asyncio.run(waiting)


@pytest.mark.parametrize("runs", [True, False])
def test_a_node_is_not_ready_by_what_the_agent_before_this_one_said(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, agents: dict[Path, datetime], runs: bool
) -> None:
    monkeypatch.setattr(cluster, "READY_DEADLINE", 0.05)
    monkeypatch.setattr(cluster, "READY_PATIENCE", 0.1)
    wanted, stored = list(lab_of(node_count=1).nodes), node_of("node1", True, True, BEFORE)
    if not runs:
        agents.clear()
        stored = node_of("node1", True, True)
    with pytest.raises(cluster.ClusterError, match="not Ready after .*node1"):
        asyncio.run(cluster.nodes_ready(cast(Client, Nodes(stored)), paths, wanted))
    if runs:
        heard = cast(Client, Nodes(stored, later=(node_of("node1", True, True),)))
        asyncio.run(cluster.nodes_ready(heard, paths, wanted))


def test_nodes_that_wait_for_their_cloud_are_told_from_those_that_are_not_ready(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, agents: dict[Path, datetime]
) -> None:
    def wait(nodes: Nodes) -> None:
        asyncio.run(cluster.nodes_ready(cast(Client, nodes), paths, list(lab_of(node_count=2).nodes)))

    monkeypatch.setattr(cluster, "READY_DEADLINE", 0.05)
    monkeypatch.setattr(cluster, "READY_PATIENCE", 0.1)
    well, untold, late = node_of("node1", True, True), node_of("node2", True, False), node_of("node2", False, False)
    wait(Nodes(well, untold, later=(node_of("node2", True, True),)))
    with pytest.raises(cluster.ClusterError, match="Ready, but not told of their machines .*node2; .* logs cloud"):
        wait(Nodes(well, late, later=(untold,)))
    with pytest.raises(cluster.ClusterError, match="not Ready after .*node2; .* logs node2/agent"):
        wait(Nodes(well, untold, later=(late,)))

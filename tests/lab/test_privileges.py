"""What daemons may do is as little as they need, also where root alone cannot read the program."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from lab import components, containerd, privileges
from lab.paths import Paths
from lab.process import Process
from lab.spec import Spec
from lab.supervisor import Machine
from tests.lab.test_spec import make


def on_etcd() -> Spec:
    return dataclasses.replace(make(), store="etcd", control_planes=3)


def every(spec: Spec) -> list[Process]:
    paths = Paths(spec.name)
    parts = [*components.control_plane(spec, paths), *components.node_components(spec, paths, spec.nodes[0])]
    return [part.process for part in parts]


def test_only_containerd_keeps_everything() -> None:
    kept = {process.name: process.capabilities for process in every(make())}
    kept["etcd"] = next(process.capabilities for process in every(on_etcd()) if process.name == "etcd-1")
    assert [name for name in kept if kept[name] == privileges.EVERYTHING] == ["node1/containerd"]
    assert [name for name in kept if kept[name] == ()] == ["apiserver", "scheduler", "controllers", "etcd"]
    assert set(privileges.CAPABILITIES) == {name.rpartition("/")[2] for name in kept}
    for process in every(make()):
        limited = "setpriv" in process.command()
        assert limited != (process.name == "node1/containerd")
        assert not limited or "--no-new-privs" in process.command()


def test_containers_of_a_lab_are_confined_by_seccomp_unless_their_pod_says_otherwise() -> None:
    spec = make()
    parts = components.node_components(spec, Paths(spec.name), spec.nodes[0])
    (agent,) = [part.settings for part in parts if part.process.name == "node1/agent"]
    assert agent is not None and agent["agent"]["seccomp_default"] is True


def test_a_low_port_needs_its_capability() -> None:
    assert privileges.of("apiserver", 443) == ("net_bind_service",)
    assert privileges.of("apiserver", 6443) == ()


def test_scores_are_upstreams_where_they_may_be_lowered() -> None:
    scores = {process.name: process.oom_score_adj for process in every(make())}
    assert scores["apiserver"] == -997 and scores["node1/agent"] == scores["node1/containerd"] == -999
    assert "oom_score = -999" in containerd.config(Paths("lab"), "node1", restrict_oom=False)
    assert "oom_score = 0" in containerd.config(Paths("lab"), "node1", restrict_oom=True)


def test_where_setpriv_does_not_work_or_the_program_lies_in_a_closed_home() -> None:
    process = every(make())[0]
    assert Machine().limit(process).capabilities == privileges.EVERYTHING
    assert Machine(drops=True).limit(process) == process
    assert Machine(True, ("dac_read_search",)).limit(process).capabilities == ("dac_read_search",)


def test_a_home_that_only_its_owner_enters_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("files of another user need root")
    program = tmp_path / "home" / "wherry" / "lab" / "privileges.py"
    program.parent.mkdir(parents=True)
    program.touch()
    monkeypatch.setattr(privileges, "__file__", str(program))
    before = privileges.to_read_the_program()
    os.chown(tmp_path / "home", 1000, 1000)
    (tmp_path / "home").chmod(0o750)
    assert privileges.to_read_the_program() == ("dac_read_search",)
    (tmp_path / "home").chmod(0o755)
    assert privileges.to_read_the_program() == before


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("kept", [(), ("net_admin",), ("net_admin", "net_raw", "dac_read_search")])
def test_what_is_kept_is_what_a_child_has(kept: tuple[str, ...]) -> None:
    assert asyncio.run(privileges.can_drop())
    done = subprocess.run(
        [*privileges.dropping(kept), "cat", "/proc/self/status"], capture_output=True, text=True, check=True
    )
    told = dict(line.split(":\t", 1) for line in done.stdout.splitlines())
    numbers = {"net_admin": 12, "net_raw": 13, "dac_read_search": 2}
    wanted = sum(1 << numbers[name] for name in kept)
    assert int(told["CapBnd"], 16) == int(told["CapEff"], 16) == int(told["CapPrm"], 16) == wanted
    assert told["NoNewPrivs"] == "1"

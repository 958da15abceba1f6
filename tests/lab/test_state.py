"""A lab's lock and its description: one command at a time, and no damage of a file is taken for something else."""

import json
import threading
import time
from pathlib import Path

import pytest

from lab import cgroups, names, state
from lab import paths as places
from lab.paths import Paths
from lab.spec import SpecError
from tests.lab.damage import WAYS, damage
from tests.lab.test_spec import make


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(places, "RUN", tmp_path / "run" / "wherry")
    monkeypatch.setattr(places, "STATE", tmp_path / "state")
    (tmp_path / "run").mkdir()


def test_holders_take_turns_even_when_the_file_goes_in_between() -> None:
    inside, most = 0, 0

    def hold() -> None:
        nonlocal inside, most
        for _ in range(20):
            with state.locked(Paths("whta")):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1
    assert not places.RUN.exists()


def test_the_lock_of_a_lab_that_is_there_stays() -> None:
    lab = Paths("whta")
    lab.state.mkdir(parents=True)
    with state.locked(lab):
        pass
    assert lab.lock.exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("which", ["main", "copy", "both"])
def test_a_damaged_description_is_never_taken_for_a_lab(way: str, which: str) -> None:
    paths = Paths("whta")
    spec = make(name="whta", node_count=2)
    state.save(paths, spec)
    for path, name in ((paths.spec, "main"), (paths.spec_copy, "copy")):
        if which in (name, "both"):
            damage(path, way)
    if which != "both":
        assert state.load(paths) == spec, "the other copy is whole"
    elif way == "missing":
        assert state.load(paths) is None
    else:
        with pytest.raises(SpecError, match="is damaged.*wherry down --name whta"):
            state.load(paths)


@pytest.mark.parametrize(
    "change",
    [
        {"nodes": [{"name": "node1", "index": 2}]},
        {"nodes": [{"name": "web", "index": 1}]},
        {"nodes": [{"name": "node1", "index": True}]},
        {"nodes": "node1"},
        {"proxy_mode": "ebpf"},
        {"pod_cidr": "10.244.0.0"},
        {"pod_cidr": "nonsense"},
        {"api_port": "6443"},
        {"more": 1},
    ],
)
def test_values_that_no_lab_has_are_damage(change: dict[str, object]) -> None:
    paths = Paths("whta")
    state.save(paths, make(name="whta"))
    told = {**json.loads(paths.spec.read_text()), **change}
    for path in (paths.spec, paths.spec_copy):
        path.write_text(json.dumps(told))
    if change == {"pod_cidr": "10.244.0.0"}:
        assert state.load(paths) is not None, "one address is a range, if a small one"
    else:
        with pytest.raises(SpecError, match="is damaged"):
            state.load(paths)


def test_a_lab_counts_by_any_copy_or_by_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path / "cgroup")
    for lab in ("whta", "whtb"):
        state.save(Paths(lab), make(name=lab))
    Paths("whta").spec.unlink()
    Paths("whtb").spec_copy.unlink()
    for name in (names.daemons("wht-c"), names.cgroup("whtd", "node3"), "wherry", "wherry-", "user.slice"):
        (tmp_path / "cgroup" / "pids" / name).mkdir(parents=True)
    assert state.labs() == ["wht-c", "whta", "whtb", "whtd"]

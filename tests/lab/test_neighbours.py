"""The limits of the machine's one table of neighbours: raised where they are low, and put back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import machine, neighbours, state
from lab import paths as places

V4, V6 = "net.ipv4.neigh.default.gc_thresh3", "net.ipv6.neigh.default.gc_thresh3"
FIXED = "net.ipv4.neigh.default.gc_thresh2"


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings a machine shows; those not in here are missing, as in every namespace but the first."""
    settings: dict[str, str] = {}

    def read(_: object, name: str) -> str:
        if name not in settings:
            raise FileNotFoundError(name)
        return settings[name]

    def write(_: object, name: str, value: object) -> None:
        if name in FIXED:
            raise PermissionError(name)
        settings[name] = str(value)

    monkeypatch.setattr("apimachinery.kit.netns.read_sysctl", read)
    monkeypatch.setattr("apimachinery.kit.netns.write_sysctl", write)
    return settings


def test_what_is_low_is_raised_and_put_back_by_the_last(kernel: dict[str, str], tmp_path: Path) -> None:
    kernel.update({V4: "1024", V6: "1000000"})
    memory = tmp_path / "memory"
    for _ in range(2):
        neighbours.make_room(memory)
        assert int(kernel[V4]) >= 30_000 and kernel[V6] == "1000000"
    neighbours.put_back(memory, tmp_path / "none")
    assert kernel == {V4: "1024", V6: "1000000"} and not memory.exists()
    neighbours.put_back(memory, tmp_path / "none")


@pytest.mark.parametrize("ends_first", [0, 1])
def test_of_two_who_need_room_the_last_puts_back_what_the_first_found(
    kernel: dict[str, str], tmp_path: Path, ends_first: int
) -> None:
    kernel.update({V4: "1024", V6: "1000000"})
    memories = [tmp_path / "first", tmp_path / "second"]
    for memory in memories:
        neighbours.make_room(memory)
    raised = dict(kernel)
    for memory, other, left in (
        (memories[ends_first], memories[1 - ends_first], raised),
        (memories[1 - ends_first], memories[ends_first], {V4: "1024", V6: "1000000"}),
    ):
        neighbours.put_back(memory, other)
        assert kernel == left and not memory.exists()


def test_a_namespace_without_these_settings_is_left_alone(kernel: dict[str, str], tmp_path: Path) -> None:
    neighbours.make_room(tmp_path / "memory")
    neighbours.put_back(tmp_path / "memory", tmp_path / "none")
    assert kernel == {}


def test_what_may_only_be_read_stays(kernel: dict[str, str], tmp_path: Path) -> None:
    kernel.update({FIXED: "512", V4: "1024"})
    neighbours.make_room(tmp_path / "memory")
    assert kernel[FIXED] == "512" and kernel[V4] != "1024"


@pytest.mark.parametrize("text", ["", "[]", '{"kernel.panic": 1}', json.dumps({V4: "many"}), json.dumps({V4: None})])
def test_a_memory_that_is_damaged_changes_nothing(kernel: dict[str, str], tmp_path: Path, text: str) -> None:
    kernel.update({V4: "70000", "kernel.panic": "0"})
    memory = tmp_path / "memory"
    memory.write_text(text)
    neighbours.put_back(memory, tmp_path / "none")
    assert kernel == {V4: "70000", "kernel.panic": "0"} and not memory.exists()


def test_who_is_killed_as_the_last_lab_goes_leaves_them_to_the_next(
    kernel: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "RUN", tmp_path)
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(state, "labs", list)
    monkeypatch.setattr("apimachinery.kit.netns.release", lambda: True)
    monkeypatch.setattr(machine, "_DIRECTORIES", ())
    monkeypatch.setattr(machine, "SHIMS", tmp_path / "shims")
    monkeypatch.setattr(machine, "CNI_RESULTS", tmp_path / "results")
    kernel.update({V4: "1024", machine.FORWARD: "0"})
    machine.prepare()
    assert kernel[V4] != "1024"

    def killed(*_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(neighbours, "put_back", killed)
        machine.restore()
    machine.restore()
    assert kernel[V4] == "1024"


def test_what_could_not_be_put_back_is_not_changed(kernel: dict[str, str], tmp_path: Path) -> None:
    kernel[V4] = "1024"
    neighbours.make_room(tmp_path / "missing" / "memory")
    assert kernel == {V4: "1024"}

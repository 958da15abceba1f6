"""The cgroups above a pod's containers, in a directory tree that stands for the kernel's."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from agent.containers.container_config import ContainerFacts, Hardware, container_config
from agent.host.cgroups import Cgroups, Hierarchy, swap_counted

CONTROLLERS = "cpuset cpu io memory pids"
MEBIBYTE = 1 << 20


@pytest.fixture
def unified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cgroup2 mount: a new directory has the files of the controllers its parent has enabled, and no others."""
    make = Path.mkdir

    def mkdir(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        make(self, mode, parents, exist_ok)
        enabled = (self.parent / "cgroup.subtree_control").read_text().replace("+", "")
        (self / "cgroup.controllers").write_text(enabled)
        (self / "cgroup.subtree_control").write_text("")
        for controller, files in {"cpu": ("cpu.weight", "cpu.max"), "memory": ("memory.max",)}.items():
            for file in files if controller in enabled.split() else ():
                (self / file).touch()

    write = Path.write_text

    def write_text(self: Path, data: str) -> int:
        assert self.exists() or self.name.startswith("cgroup."), f"{self.name}: its controller is not enabled"
        return write(self, data)

    (tmp_path / "cgroup.controllers").write_text(CONTROLLERS)
    (tmp_path / "cgroup.subtree_control").write_text("")
    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "write_text", write_text)
    return tmp_path


def pod(uid: str, **resources: object) -> dict:
    return {"metadata": {"name": "p", "uid": uid}, "spec": {"containers": [{"name": "c", "resources": resources}]}}


def figures(directory: Path) -> tuple[str, str, str]:
    weight, quota, memory = (directory / name for name in ("cpu.weight", "cpu.max", "memory.max"))
    return weight.read_text(), quota.read_text(), memory.read_text()


def test_version_2_enables_controllers_all_the_way_down(unified: Path) -> None:
    cgroups = Cgroups("/lab-node1", Hierarchy.detect(unified))
    path = cgroups.ensure_pod(pod("u1", requests={"cpu": "250m"}))
    assert path == "/lab-node1/kubepods/burstable/podu1"
    for directory in (unified, unified / "lab-node1", unified / "lab-node1/kubepods", (unified / path[1:]).parent):
        assert (directory / "cgroup.subtree_control").read_text() == "+cpuset +cpu +memory +pids"
    assert (unified / path[1:] / "cgroup.subtree_control").read_text() == ""


def test_a_controller_that_is_refused_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.controllers").write_text(CONTROLLERS)
    enabled = []

    def write_text(self: Path, data: str) -> int:
        if "+cpu" in data.split():
            raise OSError(errno.EINVAL, "Invalid argument")
        if self.parent == tmp_path:
            enabled.append(data)
        return len(data)

    monkeypatch.setattr(Path, "write_text", write_text)
    Cgroups("/", Hierarchy.detect(tmp_path)).ensure_pod(pod("u"))
    assert enabled == ["+cpuset", "+memory", "+pids"]


@pytest.mark.parametrize(
    ("resources", "place", "expected"),
    [
        ({}, "besteffort/", ("1", "max 100000", "max")),
        ({"requests": {"cpu": "250m"}}, "burstable/", ("10", "max 100000", "max")),
        ({"limits": {"cpu": "500m", "memory": "64Mi"}}, "", ("20", "50000 100000", str(64 * MEBIBYTE))),
        ({"requests": {"cpu": "1"}, "limits": {"memory": "1Mi"}}, "burstable/", ("39", "max 100000", str(MEBIBYTE))),
    ],
)
def test_version_2_figures_of_a_pod(unified: Path, resources: dict, place: str, expected: tuple[str, str, str]) -> None:
    """Weights by the kubelet's own conversion, 1 + (shares - 2) * 9999 / 262142."""
    path = Cgroups("/", Hierarchy.detect(unified)).ensure_pod(pod("u", **resources))
    assert path == f"/kubepods/{place}podu"
    assert figures(unified / path[1:]) == expected


def test_a_limit_that_the_kernel_refuses_is_the_pod_s_matter(unified: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cgroups = Cgroups("/", Hierarchy.detect(unified))
    write = Path.write_text

    def write_text(self: Path, data: str) -> int:
        if self.name == "memory.max" and data != "max":
            raise OSError(errno.EBUSY, "Device or resource busy")
        return write(self, data)

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(OSError) as raised:
        cgroups.ensure_pod(pod("u", limits={"memory": "64Mi"}))
    file = unified / "kubepods/burstable/podu/memory.max"
    assert raised.value.strerror == f'failed to write "67108864" to {file}: Device or resource busy'
    cgroups.ensure_pod(pod("free", requests={"memory": "64Mi"}))


def test_a_class_that_cannot_be_weighed_keeps_no_pod_waiting(
    unified: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = Path.write_text

    def write_text(self: Path, data: str) -> int:
        if self == unified / "kubepods/besteffort/cpu.weight":
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(self, data)

    monkeypatch.setattr(Path, "write_text", write_text)
    Cgroups("/", Hierarchy.detect(unified)).ensure_pod(pod("u"))
    assert "besteffort/cpu.weight: Invalid argument" in caplog.text


def test_a_pod_that_changes_has_room_for_old_and_new_in_between(unified: Path) -> None:
    cgroups = Cgroups("/", Hierarchy.detect(unified))
    old = {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    new = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "memory": "128Mi"}}
    place = unified / cgroups.ensure_pod(pod("u", **old))[1:]
    before = figures(place)
    cgroups.widen_pod(pod("u", **new))
    assert figures(place) == (*before[:2], str(128 << 20))
    cgroups.ensure_pod(pod("u", **new))
    assert figures(place)[1:] == ("20000 100000", str(128 << 20)) and figures(place)[0] != before[0]
    # What an agent before this one held it to is not known.
    Cgroups("/", Hierarchy.detect(unified)).widen_pod(pod("u", **new))
    assert figures(place)[1:] == ("max 100000", "max")


def test_the_burstable_class_weighs_what_its_pods_ask_for(unified: Path) -> None:
    cgroups = Cgroups("/", Hierarchy.detect(unified))
    weight = unified / "kubepods/burstable/cpu.weight"
    seen = []
    for uid, cpu in (("a", "250m"), ("b", "1")):
        one = pod(uid, requests={"cpu": cpu})
        cgroups.weigh(one)
        cgroups.ensure_pod(one)
        seen.append(weight.read_text())
    cgroups.weigh(pod("c", limits={"cpu": "4", "memory": "1Mi"}))
    seen.append(weight.read_text())
    assert seen == ["10", "49", "49"]
    # A restarted agent counts what runs before it makes anything.
    Cgroups("/", Hierarchy.detect(unified)).weigh(pod("a", requests={"cpu": "250m"}))
    assert weight.read_text() == "10"
    (unified / "kubepods/burstable/poda").rename(unified / "gone")
    cgroups.remove_pod("a")
    assert weight.read_text() == "39"


def test_what_was_made_is_found_and_removed(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    cgroups = Cgroups("/lab-node1", Hierarchy.detect(tmp_path))
    found = {uid: f"/lab-node1/kubepods/{place}/pod{uid}" for uid, place in (("a", "besteffort"), ("b", "burstable"))}
    for path in found.values():
        (tmp_path / path[1:] / "container").mkdir(parents=True)
    assert cgroups.pods() == found
    assert cgroups.remove_pod("a")
    assert cgroups.pods() == {"b": found["b"]}
    cgroups.remove_all()
    assert not (tmp_path / "lab-node1/kubepods").exists()


def test_whether_swap_is_counted(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/user.slice/session-1.scope\n")
    version2 = Hierarchy(True, (tmp_path,))
    assert not swap_counted(version2, own)
    (tmp_path / "user.slice/session-1.scope").mkdir(parents=True)
    (tmp_path / "user.slice/session-1.scope/memory.swap.max").touch()
    assert swap_counted(version2, own)
    version1 = Hierarchy(False, (tmp_path / "cpu", tmp_path / "memory"))
    assert not swap_counted(version1)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.memsw.limit_in_bytes").touch()
    assert swap_counted(version1)


@pytest.mark.parametrize(
    ("version2", "counted", "swap", "files"),
    [
        (False, True, MEBIBYTE, {}),
        (False, False, 0, {}),
        (True, True, 0, {"memory.oom.group": "1", "memory.swap.max": "0"}),
        (True, False, 0, {"memory.oom.group": "1"}),
    ],
)
def test_a_container_gets_no_swap_and_ends_whole(version2: bool, counted: bool, swap: int, files: dict) -> None:
    one = pod("u", limits={"memory": "1Mi"})
    facts = ContainerFacts(image="i", attempt=0, hardware=Hardware(cgroup_v2=version2, swap_counted=counted))
    made = container_config(one, one["spec"]["containers"][0], facts).linux.resources
    assert (made.memory_limit_in_bytes, made.memory_swap_limit_in_bytes) == (MEBIBYTE, swap)
    assert dict(made.unified) == files

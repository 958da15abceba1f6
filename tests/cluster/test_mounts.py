"""Mounts that must propagate between pods of a node, and go no further than the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.lab import Lab
from tests.waiting import eventually

pytestmark = pytest.mark.cluster


def pod(name: str, node: str, directory: Path, propagation: str) -> dict[str, Any]:
    """A pod that has the node's directory at /shared, and may mount when the propagation is to pass that on."""
    container = {
        "name": "main",
        "image": "wherry.local/busybox:1",
        "command": ["sleep", "600"],
        "securityContext": {"privileged": propagation == "Bidirectional"},
        "volumeMounts": [{"name": "shared", "mountPath": "/shared", "mountPropagation": propagation}],
    }
    volume = {"name": "shared", "hostPath": {"path": str(directory), "type": "DirectoryOrCreate"}}
    spec = {"nodeName": node, "containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_mounts_pass_between_pods_of_a_node_and_nowhere_else(clean: Lab, tmp_path: Path) -> None:
    lab = clean
    directory = tmp_path / "whtshared"
    lab.apply(
        pod("giver", "node1", directory, "Bidirectional"),
        pod("taker", "node1", directory, "HostToContainer"),
        pod("private", "node1", directory, "None"),
        pod("elsewhere", "node2", directory, "HostToContainer"),
    )
    names = ("giver", "taker", "private", "elsewhere")
    lab.kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in names), "--timeout=120s")

    def seen(name: str) -> str:
        return lab.kubectl("exec", name, "--", "sh", "-c", "cat /shared/deep/file 2>/dev/null || true").strip()

    script = "mkdir /shared/deep && mount -t tmpfs tmpfs /shared/deep && echo given > /shared/deep/file"
    lab.kubectl("exec", "giver", "--", "sh", "-c", script)
    assert [seen(name) for name in names] == ["given", "given", "", ""]
    assert lab.on_node("node1", "cat", str(directory / "deep" / "file")) == "given"
    assert not list((directory / "deep").iterdir()), "the machine sees the mount of a node"
    assert str(directory) not in Path("/proc/self/mountinfo").read_text()
    lab.kubectl("exec", "giver", "--", "umount", "/shared/deep")
    eventually(lambda: seen("taker") == "", what="the mount is gone for the other pod, too")


def test_a_node_that_was_off_has_its_mounts_anew(clean: Lab, tmp_path: Path) -> None:
    lab = clean
    lab.apply(pod("giver", "node3", tmp_path / "whtshared", "Bidirectional"))
    lab.kubectl("wait", "--for=condition=Ready", "pod/giver", "--timeout=120s")
    lab.kubectl("exec", "giver", "--", "sh", "-c", "mkdir /shared/deep; mount -t tmpfs tmpfs /shared/deep")
    lab.wherry("node", "stop", "node3")
    try:
        kept = Path(f"/run/wherry/{lab.name}/mounts/node3")
        assert not kept.exists(), "a node that is off keeps nothing mounted"
    finally:
        lab.wherry("node", "start", "node3")
    assert str(tmp_path) not in lab.on_node("node3", "cat", "/proc/self/mountinfo")
    # Its status may still be that of before the node was off.
    eventually(lambda: lab.kubectl("exec", "giver", "--", "echo", "there"), what="its pod runs again")
    lab.kubectl("exec", "giver", "--", "sh", "-c", "mount -t tmpfs tmpfs /shared/deep")
    assert f"{tmp_path}/whtshared/deep" in lab.on_node("node3", "cat", "/proc/self/mountinfo")


def test_no_mount_of_a_pod_is_seen_on_the_machine(clean: Lab) -> None:
    lab = clean
    lab.apply(pod("giver", "node1", Path("/var/tmp"), "None"))
    lab.kubectl("wait", "--for=condition=Ready", "pod/giver", "--timeout=120s")
    assert "overlay" in lab.on_node("node1", "cat", "/proc/self/mountinfo")
    below = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    ours = sorted(path for path in below if f"/wherry/{lab.name}/" in path)
    run = f"/run/wherry/{lab.name}"
    # The nodes' namespaces of mounts and of hostnames, which are held by mounts, and what each node has of its own.
    places = [f"{run}/{holder}" for holder in ("hostnames", "mounts")]
    assert ours == sorted([*places, *(f"{each}/node{n}" for each in (run, *places) for n in (1, 2, 3))])

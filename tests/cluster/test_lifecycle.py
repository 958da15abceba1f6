"""Labs come, change and go: twice the same command, nodes added and removed, and nothing left at the end."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.commands import ROOT
from tests.cluster.conftest import kubectl_path
from tests.cluster.lab import Lab, fetch, run, web, wherry
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

NAME = "whtsmall"
# Where containerd, runc and libcni keep things by default, whoever runs them: another lab's go away by themselves.
SHARED = ("/run/containerd/s", "/run/containerd/fifo", "/run/containerd/runc/k8s.io", "/var/lib/cni/results")


def foreign(line: str) -> bool:
    """Whether this belongs to a lab other than ours: the tier's own, or one that a person runs meanwhile."""
    found = re.search(r"wherry[/-]([a-z][a-z0-9]{0,8})(?![a-z0-9])|wh-([a-z][a-z0-9]{0,8})", line)
    return found is not None and NAME not in line


def snapshot() -> dict[str, set[str]]:
    """What a lab could leave on this machine, each thing by a name that does not change by itself."""
    lines: dict[str, list[str]] = {
        "namespaces": [path.name for path in Path("/run/netns").glob("*")],
        "mounts": Path("/proc/self/mountinfo").read_text().splitlines(),
        "links": [line.split(":")[1] for line in run(["ip", "-o", "link"]).stdout.splitlines()],
        "routes": [line for line in routes() if not re.search(r"proto 11[89]|unreachable", line)],
        "tables": run(["nft", "list", "tables"]).stdout.splitlines(),
        "cgroups": [str(p) for depth in ("*", "*/*") for p in Path("/sys/fs/cgroup").glob(depth) if p.is_dir()],
        "files": [str(p) for top in ("/run/wherry", "/var/lib/wherry") for p in Path(top).glob("*")],
        "shared": [str(path) for top in SHARED for path in Path(top).glob("*")],
        "processes": list(processes()),
    }
    return {what: {line for line in found if not foreign(line)} for what, found in lines.items()}


def routes() -> list[str]:
    return run(["ip", "route", "show", "table", "all"]).stdout.splitlines()


def own_ranges() -> list[str]:
    """The ranges of our lab, which must be nowhere in the host's routes once it is down."""
    described = json.loads(Path(f"/var/lib/wherry/{NAME}/lab.json").read_text())
    return [
        described[key].partition("/")[0].rstrip("0").rstrip(".") for key in ("pod_cidr", "service_cidr", "node_cidr")
    ]


def assert_nothing_left(before: dict[str, set[str]], ranges: list[str]) -> None:
    after = snapshot()
    for what, there in after.items():
        if what == "shared":
            assert there <= before[what], f"{what}: {sorted(there - before[what])}"
        else:
            assert there == before[what], f"{what}: {sorted(there ^ before[what])}"
    left = [line for line in routes() if any(f" {start}." in f" {line}" for start in ranges)]
    assert not left, left


def processes() -> Iterator[str]:
    """Everything our lab started: daemons and shims name it, containers live in its cgroups."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                place = (entry / "cgroup").read_text()
            except OSError:
                continue
            # A process without a command line has ended already and waits for init to notice.
            if line and NAME in line + place:
                yield f"{entry.name} {line}"


def test_up_twice_at_once_and_again_changes_nothing(lab: Lab) -> None:
    before = {part["name"]: part["pid"] for part in lab.status()["components"]}
    argv = [sys.executable, "-m", "lab", "up", "--name", lab.name]
    both = [subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [each.communicate(timeout=120)[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], outputs
    assert {part["name"]: part["pid"] for part in lab.status()["components"]} == before


def test_nodes_join_and_leave_a_running_cluster_and_down_leaves_the_machine_as_it_was(lab: Lab) -> None:
    """A second lab, of one node, side by side with the first; down while its pods run and its Service answers."""
    before = snapshot()
    try:
        wherry("up", "--name", NAME, "--nodes", "1", "--proxy-mode", "iptables")
        ranges = own_ranges()
        join_and_leave(Lab(NAME, kubectl_path()))
    finally:
        wherry("down", "--name", NAME)
    assert_nothing_left(before, ranges)
    assert "there is no lab" in wherry("down", "--name", NAME).stderr


def join_and_leave(small: Lab) -> None:
    small.wherry("node", "add")
    small.apply(*web("joined", 4))
    small.kubectl("rollout", "status", "deployment/joined", "--timeout=120s")
    assert {pod["spec"]["nodeName"] for pod in small.running("app=joined")} == {"node1", "node2"}
    vip = str(small.get("service", "joined")["spec"]["clusterIP"])
    for node in ("node1", "node2"):
        eventually(partial(small.fetch_on_node, node, vip), what=f"the VIP answers on {node}")
    small.wherry("node", "remove", "node2")
    assert "node2" not in small.kubectl("get", "nodes")

    def all_on_one() -> bool:
        pods = small.running("app=joined")
        return len(pods) == 4 and {pod["spec"]["nodeName"] for pod in pods} == {"node1"}

    eventually(all_on_one, what="the pods of the removed node were replaced")
    eventually(lambda: fetch(vip), what="the VIP answers")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--name", "whtx", "--nodes", "0"], "--nodes 0 is out of range; use 1 to 10"),
        (["up", "--name", "whtx", "--pod-cidr", "nonsense"], "--pod-cidr nonsense"),
        (["up", "--name", "whtx", "--node-cidr", "127.0.0.0/8"], "no range for hosts"),
        (["up", "--proxy-mode", "ebpf"], "ebpf"),
        (["up", "--no-such-flag"], "No such option"),
        (["status", "--name", "whtx"], "there is no lab 'whtx'"),
        (["logs", "nothing"], "no log of 'nothing'; there are: "),
        (["shell", "node9"], "has no node 'node9'; its nodes: node1, node2, node3"),
        (["node", "add", "node1"], "already has node1"),
        (["node", "stop", "web"], "has no node 'web'"),
        (["up", "--proxy-mode", "iptables"], "is there with --proxy-mode nftables, not iptables; run `wherry down`"),
        (["image", "load", "/no/such/file.tar"], "there is no file /no/such/file.tar"),
    ],
)
def test_bad_input_is_told_in_a_line(lab: Lab, arguments: list[str], message: str) -> None:
    done = lab.wherry(*arguments, check=False) if "--name" not in arguments else wherry(*arguments, check=False)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_range_in_use_and_a_busy_port_are_refused_before_anything_is_made(lab: Lab) -> None:
    taken = json.loads((Path("/var/lib/wherry") / lab.name / "lab.json").read_text())["pod_cidr"]
    done = wherry("up", "--name", "whtx", "--pod-cidr", taken, check=False)
    assert "which this machine already has a route to" in done.stderr
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        done = wherry("up", "--name", "whtx", "--api-port", port, check=False)
    assert f"port {port} is taken" in done.stderr
    assert not Path("/var/lib/wherry/whtx").exists()


def test_a_lab_whose_state_file_is_damaged_is_taken_away_whole(lab: Lab) -> None:
    before = snapshot()
    try:
        wherry("up", "--name", NAME, "--nodes", "1")
        ranges = own_ranges()
        (Path("/var/lib/wherry") / NAME / "lab.json").write_text("{")
    finally:
        wherry("down", "--name", NAME)
    assert_nothing_left(before, ranges)


def test_a_damaged_state_file_is_told_and_cleared(lab: Lab) -> None:
    state = Path("/var/lib/wherry/whtbad/lab.json")
    state.parent.mkdir()
    try:
        state.write_text('{"name": ')
        done = wherry("status", "--name", "whtbad", check=False)
        assert f"{state} is damaged" in done.stderr
        assert "wherry down --name whtbad" in done.stderr
    finally:
        wherry("down", "--name", "whtbad")
    assert not state.parent.exists()

"""The life of a whole cluster by every command, under whatever the caller's process has."""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import privileges, state
from lab.paths import Paths
from tests.cluster import profiles
from tests.cluster.commands import ROOT
from tests.cluster.conftest import kubectl_path
from tests.cluster.lab import Lab, wherry
from tests.cluster.test_lifecycle import assert_nothing_left, own_ranges, snapshot
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

NAME = "whtsmall"
LONG = "whtsmall-with-a-name-of-32-signs"


@pytest.fixture
def gone() -> Iterator[None]:
    """Our labs are gone before and afterwards."""
    _down()
    yield
    _down()


def _down() -> None:
    for name in state.labs():
        if name in (NAME, LONG):
            wherry("down", "--name", name)


def test_a_cluster_that_was_stopped_goes_on_where_it_was(lab: Lab, gone: None) -> None:
    before = snapshot()
    wherry("up", "--name", NAME, "--nodes", "1")
    ranges = own_ranges()
    small = Lab(NAME, kubectl_path())
    small.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    small.kubectl("run", "kept", "--image=wherry.local/busybox:1", "--command", "--", "sleep", "600")
    small.kubectl("wait", "--for=condition=Ready", "pod/kept", "--timeout=120s")
    wherry("stop", "--name", NAME)
    after = snapshot()
    for what in set(before) - {"files", "shared"}:
        assert after[what] == before[what], what
    listed = {each["lab"]: each["state"] for each in json.loads(wherry("list", "-o", "json").stdout)}
    assert listed == {lab.name: "running", NAME: "off"}
    assert "is off" in wherry("status", "--name", NAME, check=False).stderr
    # Its ranges stay its own, though the machine has no route to them now.
    taken = json.loads(Paths(NAME).spec.read_text())["pod_cidr"]
    refused = wherry("up", "--name", "whtx", "--pod-cidr", taken, check=False)
    assert refused.returncode == 1 and f"overlaps {taken}" in refused.stderr
    wherry("start", "--name", NAME)
    nodes = json.loads(wherry("node", "list", "--name", NAME, "-o", "json").stdout)
    assert [(node["name"], node["state"]) for node in nodes] == [("node1", "Ready")]
    assert small.get("configmap", "kept")["data"] == {"a": "b"}
    eventually(lambda: small.get("pod", "kept")["status"]["containerStatuses"][0]["ready"], what="its pod runs again")
    wherry("delete", "--name", NAME)
    assert_nothing_left(before, ranges)


def test_a_file_and_a_long_name(lab: Lab, gone: None, tmp_path: Path) -> None:
    """The file names one for the scheduler, too, which does as that says."""
    with profiles.configured(tmp_path) as chosen:
        file = tmp_path / "lab.yaml"
        networking = "networking: {kubeProxyMode: iptables, apiServerPort: 7443}"
        file.write_text(f"name: {LONG}\nnodes: 1\nschedulerConfig: {chosen}\n{networking}\n")
        wherry("up", "--config", str(file))
        profiles.check(Lab(LONG, kubectl_path()), tmp_path)
    described = json.loads(Paths(LONG).spec.read_text())
    assert (described["proxy_mode"], described["api_port"], len(described["nodes"])) == ("iptables", 7443, 1)
    links = subprocess.run(["ip", "-d", "link"], capture_output=True, text=True, check=True).stdout
    assert f"alias wherry lab {LONG}\n" in links and f"alias wherry lab {LONG}, node1\n" in links
    assert " Ready" in Lab(LONG, kubectl_path()).kubectl("get", "nodes")
    wherry("up", "--config", str(file))
    file.write_text(file.read_text().replace("nodes: 1", "nodes: 2"))
    refused = wherry("up", "--config", str(file), check=False)
    assert f"lab {LONG} is there with nodes 1, not 2" in refused.stderr
    file.write_text("nodes: 0\n")
    refused = wherry("up", "--config", str(file), check=False)
    assert f"{file}: nodes 0 is out of range; use 1 to 10" in refused.stderr


def test_no_nodes_is_wrong_whether_a_lab_is_there_or_not(lab: Lab) -> None:
    refused = lab.wherry("up", "--nodes", "0", check=False)
    assert "--nodes 0 is out of range; use 1 to 10" in refused.stderr


def test_a_file_that_is_no_image_is_told_in_a_line(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "web.tar"
    file.write_text("hello")
    refused = lab.wherry("image", "load", str(file), check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: {file} is no image archive") and "ctr" not in refused.stderr
    lab.wherry("node", "stop", "node2")
    try:
        refused = lab.wherry("image", "load", "pause", "--node", "node2", check=False)
        assert "node2 is off; `wherry node start node2`" in refused.stderr
    finally:
        lab.wherry("node", "start", "node2")


def test_status_is_watched_until_ctrl_c(lab: Lab) -> None:
    argv = [sys.executable, "-m", "lab", "status", "-w", "-o", "json", "--name", lab.name]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = (json.loads(line) for line in process.stdout)
    # Another test's node may just be coming back.
    assert any({node["state"] for node in each["nodes"]} == {"Ready"} for each in itertools.islice(told, 60))
    assert len(next(told)["nodes"]) == 3
    process.send_signal(signal.SIGINT)
    assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 130


def ignored() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])


def narrow() -> None:
    ignored()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    os.umask(0o077)


def careless() -> None:
    os.umask(0)
    os.closerange(0, 3)


def assert_least_privilege(name: str, told: dict[str, str]) -> None:
    """The capabilities of the table and no others, and none to be gained."""
    kept = privileges.CAPABILITIES[name.rpartition("/")[2]]
    if kept == privileges.EVERYTHING:
        assert told["NoNewPrivs"] == "0", "a container's set-user-id program would not work"
        return
    reading = privileges.to_read_the_program()
    assert int(told["CapEff"], 16).bit_count() <= len({*kept, *reading}), name
    assert int(told["CapBnd"], 16).bit_count() <= len({*kept, *reading}), name
    assert told["NoNewPrivs"] == "1", name


@pytest.mark.parametrize(
    ("before", "env"),
    [
        (narrow, {"LC_ALL": "POSIX", "PATH": "/usr/bin:/bin", "TERM": "dumb"}),
        (careless, {"HOME": "", "LANG": "C"}),
    ],
    ids=["signals ignored, umask 077, few files, short PATH", "umask 000, streams closed, no HOME"],
)
def test_daemons_have_none_of_what_the_caller_had(
    lab: Lab, gone: None, before: Callable[[], None], env: dict[str, str], tmp_path: Path
) -> None:
    def wherry_so(*arguments: str) -> None:
        argv = [sys.executable, "-m", "lab", *arguments, "--name", NAME]
        clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
        done = subprocess.run(argv, cwd=tmp_path, env=clean, preexec_fn=before, timeout=180, check=False)
        assert done.returncode == 0, arguments

    wherry_so("up", "--nodes", "1")
    wherry_so("status")
    components = json.loads(wherry("status", "-o", "json", "--name", NAME).stdout)["components"]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for part in components:
        lines = Path(f"/proc/{part['pid']}/status").read_text().splitlines()
        told = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        name = part["name"]
        # Go's runtime catches what it wants; nothing that ends a daemon is ignored.
        lethal = sum(1 << (number - 1) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD))
        assert int(told["SigIgn"], 16) & lethal == 0, name
        assert "containerd" in name or int(told["SigBlk"], 16) == 0, name
        assert told["Umask"] == "0022", name
        assert_least_privilege(name, told)
        assert Path(f"/proc/{part['pid']}/cwd").readlink() == Path("/"), name
        limits = Path(f"/proc/{part['pid']}/limits").read_text()
        soft = next(line.split()[3] for line in limits.splitlines() if line.startswith("Max open files"))
        assert int(soft) >= min(hard, 1 << 20), name
    assert oct(Paths(NAME).pki.stat().st_mode & 0o777) == "0o700"
    assert oct(Paths(NAME).spec.stat().st_mode & 0o777) == "0o644"
    wherry_so("down")


def test_an_up_that_is_interrupted_says_so_in_a_line_and_the_next_goes_on_also_unread(lab: Lab, gone: None) -> None:
    """Each begins with what the one before it has left half made. The last one's reader has gone away."""
    argv = [sys.executable, "-m", "lab", "up", "--nodes", "2", "--name", NAME]
    interrupted = 0
    for seconds in (0.6, 1.5, 3.0):
        process = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
        if process.returncode:
            assert process.returncode == 130
            assert told.splitlines()[-1] == "Error: interrupted; run the same command again to go on"
            interrupted += 1
        assert "Traceback" not in told
    assert interrupted, "none came in the middle"
    reading, writing = os.pipe()
    os.close(reading)
    unread = subprocess.Popen(argv, cwd=ROOT, stdout=writing, stderr=writing)
    os.close(writing)
    assert unread.wait(120) == 0
    assert Lab(NAME, kubectl_path()).kubectl("get", "nodes").count(" Ready") == 2

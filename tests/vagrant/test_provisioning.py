"""vagrant/install.sh on a machine without wherry, up to a Service that answers: real daemons, real containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import cgroups

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "wht-provision"

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/etc/systemd").is_dir(), reason="install.sh is for machines with systemd"),
]


@pytest.fixture
def work() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix=f"{NAME}-", dir="/var/tmp"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        cgroups.remove(NAME)


def test_a_machine_becomes_a_control_plane_and_a_node_that_joined_by_token(work: Path):
    apart = [
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation",
        "private",
    ]
    script = str(ROOT / "tests" / "vagrant" / "provision.sh")
    argv = [*apart, "bash", script, str(ROOT), sys.prefix, str(work), NAME]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert told["repeated"] == "unchanged"
    assert told["join"].startswith("vagrant/install.sh agent --server https://192.168.56.10:6443 --token abcdef.")
    assert told["hostnet"] == "disabled"
    assert sorted(told["requests"].strip(",").split(",")) == [
        "kubernetes.io/kube-apiserver-client-kubelet system:bootstrap:abcdef Approved",
        "kubernetes.io/kubelet-serving system:node:one Approved",
    ]
    assert (told["exec"], told["vip"]) == ("web", "web")
    assert told["name"] == told["expected"]
    assert told["revoked"] == "401"
    assert told["refused"] == "0"
    assert (told["due"], told["pods"], told["rules"]) == ("none", "0", "")

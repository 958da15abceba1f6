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
BASE = Path("/var/cache/wherry/vm/debian")

pytestmark = [
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


JOINED = "kubernetes.io/kube-apiserver-client-kubelet system:bootstrap:abcdef Approved"
SERVES = "kubernetes.io/kubelet-serving system:node:one Approved"


def provision(work: Path, base: str = "", kind: str = "") -> dict[str, str]:
    """What the script found; what holds of every machine is judged here."""
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
    argv = [*apart, "bash", script, str(ROOT), sys.prefix, str(work), NAME, base, kind]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert told["repeated"] == "unchanged"
    assert told["hostnet"] == "disabled"
    assert (told["exec"], told["vip"]) == ("web", "web")
    assert told["name"] == told["expected"]
    assert told["revoked"] == "401"
    assert told["refused"] == "0"
    assert (told["told"], told["shims"]) == ("told", "none")
    assert (told["due"], told["pods"], told["rules"]) == ("none", "0", "")
    return told


def joins(told: dict[str, str]) -> None:
    assert told["join"].startswith("vagrant/install.sh agent --server https://192.168.56.10:6443 --token abcdef.")
    # The one of the control plane's settings is good as long as it stands there.
    assert told["tokens"] == "abcdef ends,fedcba never"
    assert sorted(told["requests"].strip(",").split(",")) == [JOINED, SERVES]


@pytest.mark.node
def test_a_machine_becomes_a_control_plane_and_a_node_that_joined_by_token(work: Path):
    joins(provision(work))


@pytest.mark.vm
def test_a_machine_joins_a_cluster_that_knows_nothing_of_wherry(work: Path):
    """By credentials made elsewhere, with what docs/vagrant.md tells people to allow there; first for its Services."""
    told = provision(work, kind="foreign")
    assert (told["units"], told["alone"]) == ("wherry-proxy.service", "ok")
    assert told["requests"] == f"{SERVES},"


@pytest.mark.vm
def test_so_does_a_debian_that_has_nothing_but_python(work: Path):
    """From debootstrap on: what apt and pip bring is enough. The root is kept, since it takes minutes to make."""
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is missing: apt-get install debootstrap")
    joins(provision(work, str(_debian())))


def _debian() -> Path:
    root, beside = BASE / "root", BASE / "new"
    if root.exists():
        return root
    shutil.rmtree(beside, ignore_errors=True)
    BASE.mkdir(parents=True, exist_ok=True)
    include = "systemd-sysv,python3,python3-venv,iproute2,ca-certificates"
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={include}", "bookworm", beside], check=True, timeout=900
    )
    trusted = Path("/usr/local/share/ca-certificates")
    shutil.copytree(trusted, beside / trusted.relative_to("/"), dirs_exist_ok=True)
    script = """set -e; cd "$1"; cp -L /etc/resolv.conf etc/resolv.conf; mount -t proc proc proc; mount --rbind /dev dev
      mkdir -p ".$2"; mount --bind "$2" ".$2"; printf '#!/bin/sh\\nexit 101\\n' >usr/sbin/policy-rc.d
      chmod 755 usr/sbin/policy-rc.d; chroot . update-ca-certificates; exec chroot . "$2/vagrant/install.sh" program"""
    apart = ["unshare", "--mount", "--propagation", "private", "bash", "-c", script, "-", str(beside), str(ROOT)]
    subprocess.run(apart, check=True, timeout=900)
    return beside.rename(root)

"""The Service benchmark prints every figure and leaves no namespace, process or file behind, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apimachinery.kit import netns

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def begin(tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "lab", "bench", "services", "--mode", "iptables", "--services", "3", "--rounds", "2"]
    argv += more
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, cwd=ROOT, env=environment, text=True, stdout=pipe, stderr=pipe)


def namespaces(process: subprocess.Popen[str]) -> list[str]:
    # The whole name must fit: another process' number may begin like this one.
    ours = re.compile(f"wht{process.pid:x}[0-9a-f]{{4}}[npf]")
    return [name for name in netns.names() if ours.fullmatch(name)]


def assert_nothing_is_left(process: subprocess.Popen[str], tmp_path: Path) -> None:
    assert namespaces(process) == []
    assert list(tmp_path.iterdir()) == []
    mentions = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in _text(path)]
    assert mentions == []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def test_every_figure_is_printed_and_nothing_is_left(tmp_path: Path) -> None:
    process = begin(tmp_path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    measured = (
        "new backend answers",
        "first full sync",
        "proxy so far",
        "first answer, by the VIP",
        "back, by the VIP",
    )
    for label in (*measured, "a bare watcher", "the pod's own address", "floor: one change, iptables-restore"):
        assert re.search(rf"{label} +\d+\.\d+ ", output), output
    assert_nothing_is_left(process, tmp_path)


def test_a_kube_proxy_is_measured_beside_ours(tmp_path: Path) -> None:
    """Ours is one to whoever starts it: it takes a KubeProxyConfiguration and --cleanup."""
    room, peer = tmp_path / "room", tmp_path / "kube-proxy"
    room.mkdir()
    peer.write_text(f'#!/bin/sh\ncd {ROOT}\necho "$@" >>{tmp_path}/asked\nexec {sys.executable} -m netproxy "$@"\n')
    peer.chmod(0o755)
    process = begin(room, "--peer", str(peer))
    output, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    ours, _, peers = output.partition(f"\n  {peer}\n")
    for label in ("new backend answers", "first full sync", "first answer, by the VIP", "a bare watcher"):
        for told in (ours, peers):
            assert len(re.findall(rf"{label} +\d+\.\d+ ", told)) == 1, output
    assert "floor: one change, iptables-restore" in peers and "floor: one change" not in ours
    started, cleaned = (tmp_path / "asked").read_text().splitlines()
    assert re.fullmatch(r"--config .*/peer\.yaml", started) and cleaned == "--cleanup"
    assert_nothing_is_left(process, room)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_in_the_middle_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process = begin(tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/proxy.log")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    assert len(namespaces(process)) == 2
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert_nothing_is_left(process, tmp_path)

"""What `wherry test` clears away when a test could not."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery.kit import netns
from lab import cgroups
from lab.testing import sweep as sweeping

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def prefix(monkeypatch: pytest.MonkeyPatch) -> str:
    """One of this test's own: those of the tier that runs it must stay."""
    monkeypatch.setattr(sweeping, "PREFIX", f"wht{secrets.token_hex(3)}")
    return sweeping.PREFIX


@pytest.fixture
def sleeping() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_processes_mounts_and_directories_of_killed_tests_go(
    prefix: str, sleeping: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sweeping, "_DIRECTORIES", (tmp_path,))
    directory = tmp_path / f"{prefix}-left"
    mounted = directory / "mounted"
    mounted.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(mounted)], check=True)
    where = netns.create(f"{prefix}n")
    (tmp_path / "netproxy").mkdir()
    (tmp_path / "netproxy" / "__main__.py").write_text("import time; time.sleep(600)")
    waiting = {**os.environ, "PYTHONPATH": str(tmp_path)}
    sleeping += [
        subprocess.Popen(["nsenter", f"--net={where}", "sleep", "600"]),
        subprocess.Popen([sys.executable, "-m", "netproxy", "--config", f"{directory}/config.yaml"], env=waiting),
        subprocess.Popen(["sleep", "600"]),
    ]
    cgroups.join(f"{prefix}-tests", sleeping[-1].pid)
    # Looking at a test's files makes nobody a test.
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", f"{directory}/config.yaml"])
    sleeping.append(bystander)
    while netns.identity(Path(f"/proc/{sleeping[0].pid}/ns/net")) != netns.identity(where):
        assert sleeping[0].poll() is None
    asyncio.run(sweeping.sweep())
    assert [process.wait(60) for process in sleeping[:3]] == [-9, -9, -9]
    assert bystander.poll() is None
    assert not directory.exists()
    assert f"{prefix}n" not in netns.names()
    assert not cgroups.directories(f"{prefix}-tests")

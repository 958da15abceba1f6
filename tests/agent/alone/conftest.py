"""A containerd and an agent per module; everything is gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.alone.rig import AgentProcess, Containerd


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    if os.geteuid() or not shutil.which("containerd"):
        pytest.skip("needs root and containerd")
    tag = f"ag{os.getpid()}"
    # Not under the system's temporary directory where that is a tmpfs: overlay and socket paths must be short.
    base = Path(tempfile.mkdtemp(prefix=f"wht-{tag}-", dir="/var/tmp"))
    rig = Containerd(base, tag)
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture
def agent(containerd: Containerd, tmp_path: Path) -> Iterator[AgentProcess]:
    process = AgentProcess(containerd)
    process.start()
    try:
        yield process
    finally:
        try:
            process.clear()
        finally:
            process.stop()

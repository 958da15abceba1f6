"""The CNI benchmark prints every figure and leaves no namespace, process or file behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from apimachinery.kit import netns

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_every_figure_is_printed_and_nothing_is_left(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "lab", "bench", "cni", "--rounds", "2", "--parallel", "3"]
    pipe = subprocess.PIPE
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(argv, cwd=ROOT, env=environment, text=True, stdout=pipe, stderr=pipe) as process:
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    for label in (
        "floor: /bin/true",
        r"ADD one by one, wherry \(alone\)",
        r"DEL one by one, wherry \(daemon\)",
        r"CPU of both, wherry \(daemon\)",
        r"ADD 3 at once, each, wherry \(daemon\)",
        r"DEL 3 at once, all, wherry \(daemon\)",
    ):
        assert re.search(rf"^{label} +\d+\.\d+ ", output, re.MULTILINE), output
    assert list(tmp_path.iterdir()) == []
    assert not [name for name in netns.names() if re.fullmatch(rf"whbench{process.pid}[np]\d*", name)]

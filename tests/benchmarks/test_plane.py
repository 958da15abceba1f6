"""Benchmarks that wait for daemons of ours stop waiting when one of these has ended."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import controllers, scheduler, simulated
from benchmarks.plane import Daemons

BENCHES: dict[str, Callable[[Daemons], Any]] = {
    "controllers": lambda processes: controllers._Bench(processes, 1, 1, print),
    "scheduler": lambda processes: scheduler._Bench(processes, 1, 1, print),
    "simulated": lambda processes: simulated._Bench(processes, print),
}


@pytest.mark.parametrize("bench", BENCHES)
def test_a_dead_daemon_ends_the_wait_for_what_it_should_do(bench: str, tmp_path: Path) -> None:
    processes = Daemons(tmp_path, tmp_path)
    (tmp_path / "api.log").write_text("the disk is gone\n")
    with subprocess.Popen(["/bin/false"]) as api:
        processes._processes["api"] = api
    with pytest.raises(RuntimeError, match="api has ended:\nthe disk is gone"):
        asyncio.run(BENCHES[bench](processes)._until(lambda: False))

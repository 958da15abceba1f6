"""A lab's cgroups are looked at while a runtime makes and removes those of containers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lab import cgroups


def test_what_goes_away_while_it_is_looked_at_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    node = tmp_path / "cpu" / "node1"
    node.mkdir(parents=True)
    (node / "cgroup.procs").write_text("7\n")
    over = threading.Event()

    def runtime() -> None:
        while not over.is_set():
            for number in range(20):
                (node / f"pod{number}" / "c").mkdir(parents=True)
            for number in range(20):
                (node / f"pod{number}" / "c").rmdir()
                (node / f"pod{number}").rmdir()

    thread = threading.Thread(target=runtime)
    thread.start()
    try:
        assert all(cgroups.members("node1") == {7} for _ in range(300))
    finally:
        over.set()
        thread.join()
    (node / "cgroup.procs").unlink()
    cgroups.remove("node1")
    assert not node.exists()

"""A bare watcher that is told nothing holds nobody for ever."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import bystander


def test_one_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(silent))
    monkeypatch.setattr(bystander, "_SILENT_SECONDS", 0.05)
    watched = {"metadata": {"namespace": "default", "name": "x", "resourceVersion": "1"}}
    with bystander.Bystander(tmp_path, watched) as watcher, pytest.raises(TimeoutError, match="has ended"):
        watcher.ready()

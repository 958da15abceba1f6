"""What a lab that does not come up says."""

import shutil
from pathlib import Path

import pytest

from lab import cluster
from lab import paths as places
from lab.paths import Paths


@pytest.mark.parametrize(("free", "told"), [(1 << 20, True), (1 << 30, False)])
def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, told: bool) -> None:
    monkeypatch.setattr(places, "STATE", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 0, free))
    assert ("no space left" in str(cluster._failed(Paths("lab"), "no answer"))) is told

"""What nobody has asked a server for yet it has not loaded: memory is spent on what is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
# The compiler of expressions, and the library of regular expressions that come from others.
LATER = ("apimachinery.cel.compiler", "apimachinery.device_selectors", "re2")


def test_what_needs_a_first_asker_is_not_loaded_before() -> None:
    told = "import controlplane.apiserver.app, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "controlplane.apiserver.app" in loaded.split()
    assert not set(LATER) & set(loaded.split())

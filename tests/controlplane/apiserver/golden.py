"""Recorded answers of upstream, when they lie beside the checkout; tests that want them skip otherwise."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("WHERRY_GOLDEN", Path(__file__).parents[4] / "shared" / "golden"))


def load(name: str) -> Any:
    """The parsed file `name` of the golden folder; skips the test without it."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"recorded answers not found at {ROOT} (set WHERRY_GOLDEN)")
    return json.loads(path.read_text())

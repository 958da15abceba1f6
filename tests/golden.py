"""Where recorded answers of upstream lie: WHERRY_GOLDEN, or shared/golden beside the checkout; else tests skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MISSING = "no recorded answers of upstream (set WHERRY_GOLDEN to their folder)"


def _found() -> Path | None:
    named = os.environ.get("WHERRY_GOLDEN")
    places = [Path(named)] if named else [parent / "shared" / "golden" for parent in Path(__file__).resolve().parents]
    return next((place for place in places if place.is_dir()), None)


FOLDER = _found()


def path(name: str) -> Path:
    """The file or folder of that name among the recordings; skips the test where there is none."""
    if FOLDER is None or not (FOLDER / name).exists():
        pytest.skip(MISSING)
    return FOLDER / name

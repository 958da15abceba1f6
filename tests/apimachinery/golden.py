"""Recorded answers of upstream, where they lie beside the checkout or WHERRY_GOLDEN says; else tests skip."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve()
PLACES = [parent / "shared" / "golden" / "api" for parent in HERE.parents]
PLACES.insert(0, Path(os.environ.get("WHERRY_GOLDEN", HERE / "none")) / "api")
FOLDER = next((place for place in PLACES if place.is_dir()), None)

MASKS = ("$TIME", "$UID", "$RV", "$NS", "$GEN", "$IP", "$PORT")


def cases(*patterns: str) -> Iterator[dict[str, Any]]:
    """The cases of the files that match; skips the test where there is no such folder."""
    if FOLDER is None:
        pytest.skip("no golden folder beside the checkout")
    for pattern in patterns:
        for path in sorted(FOLDER.glob(pattern)):
            yield from json.loads(path.read_text())


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where two values differ, blind to what the recording masked."""
    if isinstance(theirs, str) and any(mask in theirs for mask in MASKS):
        return []
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = []
        for key in {**ours, **theirs}:
            if key in ("managedFields", "kubernetes.io/metadata.name") or "$NS" in key:
                continue
            found += differences(ours.get(key), theirs.get(key), f"{path}.{key}")
        return found
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [d for i, pair in enumerate(zip(ours, theirs, strict=True)) for d in differences(*pair, f"{path}[{i}]")]
    if ours is None and theirs == {}:
        # The recording left out the one label that was in the map.
        return []
    return [] if ours == theirs else [f"{path}: {ours!r} != {theirs!r}"]

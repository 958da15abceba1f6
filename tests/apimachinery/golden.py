"""The API server's recorded answers, and how ours differ from them."""

import json
from collections.abc import Iterator
from typing import Any

from tests import golden

MASKS = ("$TIME", "$UID", "$RV", "$NS", "$GEN", "$IP", "$PORT")


def cases(*patterns: str) -> Iterator[dict[str, Any]]:
    """The cases of the files that match; skips the test without recordings."""
    folder = golden.path("api")
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
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

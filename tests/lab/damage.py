"""Every way in which a state file of a lab is damaged, for the tests of reading one and of taking a lab away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path


def _other_types(path: Path) -> None:
    """Right JSON of the right shape, and nothing in it is of its type."""

    def turned(value: object) -> object:
        if isinstance(value, dict):
            return {key: turned(item) for key, item in value.items()}
        if isinstance(value, list):
            return [turned(item) for item in value]
        return 7 if isinstance(value, str) else "seven"

    path.write_text(json.dumps(turned(json.loads(path.read_text()))))


def _others(path: Path) -> None:
    """The file of another lab, whole."""
    path.write_text(path.read_text().replace(path.parent.name, "whtother"))


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _again(path: Path) -> None:
    """Pids are used again: process 1 has every number that was written down."""

    def turned(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: turned(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [turned(item) for item in value]
        return 1 if key == "pid" else value

    path.write_text(json.dumps(turned(json.loads(path.read_text()))))


WAYS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "noise": lambda path: path.write_bytes(bytes(range(256))),
    "null": lambda path: path.write_text("null"),
    "another shape": lambda path: path.write_text('{"lab": [], "children": {"a": 1}, "nodes": 3}'),
    "nested": lambda path: path.write_text("[" * 100_000),
    "other types": _other_types,
    "of another lab": _others,
    "a directory": _directory,
}
PID_REUSED = _again


def damage(path: Path, way: str) -> None:
    """Damage the file; what an earlier way left is taken away first."""
    WAYS[way](path)


def mend(path: Path, text: bytes) -> None:
    """As it was."""
    if path.is_dir():
        shutil.rmtree(path)
    path.write_bytes(text)

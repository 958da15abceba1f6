"""hostPath volumes: what must be there, what is made.

Source: https://kubernetes.io/docs/concepts/storage/volumes/#hostpath-volume-types .
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "FileOrCreate": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket file"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


class HostPathError(Exception):
    """The path is not what the volume says; the text is the user's."""


def prepare(path: Path, kind: str) -> None:
    """Check `path` against the volume's type and create it where the type says so; raises HostPathError."""
    if not kind:
        return
    if kind not in _CHECKS:
        raise HostPathError(f"unknown hostPath type {kind}")
    try:
        if kind == "DirectoryOrCreate" and not path.exists():
            path.mkdir(mode=0o755, parents=True)
        elif kind == "FileOrCreate" and not path.exists():
            path.touch(mode=0o644)
    except OSError as error:
        raise HostPathError(f"hostPath type check failed: {path}: {error.strerror}") from error
    right, complaint = _CHECKS[kind]
    if not path.exists() or not right(path.stat().st_mode):
        raise HostPathError(f"hostPath type check failed: {path} {complaint}")

"""fsGroup: the group that owns a volume's files and what it may do with them.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/security-context/ .
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_READ_WRITE = 0o660
_READ_ONLY = 0o440
_DIRECTORY = 0o110 | stat.S_ISGID


def own(path: Path, group: int, read_only: bool) -> None:
    """Give `path` and all below it to `group`; new files in its directories inherit the group."""
    _own_one(path, group, read_only)
    for root, directories, files in os.walk(path):
        for name in (*directories, *files):
            # Of a volume that others use, a file may go meanwhile.
            with contextlib.suppress(FileNotFoundError):
                _own_one(Path(root, name), group, read_only)


def group_mode(mode: int, is_directory: bool, read_only: bool) -> int:
    """The permission bits a file gets for its group."""
    bits = _READ_ONLY if read_only else _READ_WRITE
    return stat.S_IMODE(mode) | bits | (_DIRECTORY if is_directory else 0)


def _own_one(path: Path, group: int, read_only: bool) -> None:
    status = path.lstat()
    os.chown(path, -1, group, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        path.chmod(group_mode(status.st_mode, stat.S_ISDIR(status.st_mode), read_only))

"""Room kept for the day the disk is full: a file of nothing, whose blocks go to the database and its log then.

They are handed over and not merely freed: whatever filled the disk would have taken them, too.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

BYTES = 16 << 20
_LOG_BYTES = BYTES * 3 // 4
_KEEP_SIZE = 1  # fallocate(2): blocks without a longer file
_LIBC = ctypes.CDLL(None, use_errno=True)


class Reserve:
    """The file `state.reserve` beside a database. No method raises."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_suffix(".reserve")
        self._database = database
        # Closing any handle of a database would drop SQLite's locks on it: these stay open with it.
        self._handles: list[int] = []

    def keep(self) -> bool:
        """Make it when it is not there and there is room for twice as much; whether it is there now."""
        try:
            there = self.path.stat().st_size if self.path.exists() else 0
            if there != BYTES and there + self._free() >= 2 * BYTES:
                self._make(BYTES)
                there = BYTES
            return there == BYTES
        except OSError:
            self.give_up()
            return False

    def _free(self) -> int:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize

    def _make(self, size: int) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, size)
        finally:
            os.close(handle)

    def give_up(self) -> None:
        """Free the room."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            return

    def hand_over(self) -> None:
        """Give the room to an open database and its log, as far as there is any."""
        self.give_up()
        try:
            if not self._handles:
                for path in (self._database, self._database.with_name(self._database.name + "-wal")):
                    self._handles.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            database, log_file = self._handles
            _allocate(log_file, 0, _LOG_BYTES)
            _allocate(database, os.fstat(database).st_size, BYTES - _LOG_BYTES)
        except OSError:
            return

    def close(self) -> None:
        """When the database is closed: what it leaves on a full disk is kept for the next start."""
        handed = bool(self._handles)
        while self._handles:
            os.close(self._handles.pop())
        try:
            if handed and not self.path.exists():
                self._make(max(4096, min(BYTES, self._free())))
        except OSError:
            self.give_up()


def _allocate(handle: int, start: int, size: int) -> None:
    """Blocks for a range of a file, as many as there are."""
    while size >= 4096 and _LIBC.fallocate(handle, _KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(size)):
        size //= 2

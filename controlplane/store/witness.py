"""The witness: a small file beside the database that says how far the log was acknowledged.

Written in place before every answer, so that no damage to the database or its log can pass for a smaller past. It lies
in 8 KB made when the store was, needs no room when the disk is full, and holds the same 64 bytes twice, a page apart:
one damaged copy is healed from the other.

A write is one pwrite (2 µs), which kill -9 cannot take back. It reaches the disk at most SYNC_SECONDS later, by a sync
that many batches share: one for each batch would halve the commits a second. So a power cut may leave the witness that
much behind. It never takes back a commit, which SQLite has synced before; it takes damage on top of it, within that
time, to lose one unnoticed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from controlplane.store.model import Full, Locked, StoreError

SYNC_SECONDS = 0.25
_MAGIC = b"wherry-witness-1"
_LAYOUT = struct.Struct("<16sQqq")  # magic, store, revision, chain
_SUM_BYTES = 16
_PAGE = 4096


@dataclass(frozen=True)
class Mark:
    """The store's id, its newest acknowledged revision (0: none yet) and the chain there."""

    store: int
    revision: int
    chain: int

    def packed(self) -> bytes:
        body = _LAYOUT.pack(_MAGIC, self.store, self.revision, self.chain)
        return body + blake2b(body, digest_size=_SUM_BYTES).digest()


def unpacked(raw: bytes) -> Mark | None:
    """The mark in the bytes of a copy; None when they are damaged."""
    body = raw[: _LAYOUT.size]
    seal = raw[_LAYOUT.size : _LAYOUT.size + _SUM_BYTES]
    if len(body) < _LAYOUT.size or blake2b(body, digest_size=_SUM_BYTES).digest() != seal:
        return None
    magic, store, revision, chain = _LAYOUT.unpack(body)
    return Mark(store, revision, chain) if magic == _MAGIC else None


def path_of(database: Path) -> Path:
    return database.with_suffix(".witness")


class Witness:
    """An open witness, locked against other processes; it belongs to the store's thread."""

    def __init__(self, path: Path, handle: int, mark: Mark | None, healed: bool) -> None:
        self.path = path
        self.mark = mark
        """None: both copies are damaged."""
        self.healed = healed
        """One copy was damaged, and is written anew with the next mark."""
        self._handle = handle
        self._due = 0.0

    @classmethod
    def make(cls, path: Path, mark: Mark) -> Witness:
        """A new one, durable with its name. Raises StoreError when there is one already."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot make {path}: {error.strerror}") from error
        found = cls(path, handle, None, False)
        try:
            found._lock()
            os.pwrite(handle, bytes(2 * _PAGE), 0)
            found.write(mark)
            found.sync()
            _sync_folder(path.parent)
        except OSError as error:
            found.close()
            path.unlink(missing_ok=True)
            raise Full(f"cannot make {path}: {error.strerror}") from error
        return found

    @classmethod
    def open(cls, path: Path) -> Witness | None:
        """The one that is there; None when there is none. Raises Locked, StoreError."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot open {path}: {error.strerror}") from error
        found = cls(path, handle, None, False)
        found._lock()
        copies = [unpacked(os.pread(handle, 64, at)) for at in (0, _PAGE)]
        whole = [mark for mark in copies if mark is not None]
        found.mark = max(whole, key=lambda mark: mark.revision, default=None)
        found.healed = len(whole) == 1
        return found

    def write(self, mark: Mark) -> None:
        """Survives kill -9 when it returns, and a power cut after the next sync. Raises OSError."""
        copy = mark.packed()
        os.pwrite(self._handle, copy.ljust(_PAGE, b"\0") + copy, 0)
        self.mark = mark
        self._due = self._due or time.monotonic() + SYNC_SECONDS

    def wait(self) -> float | None:
        """Seconds until a sync is due; None when nothing waits for one."""
        return max(0.0, self._due - time.monotonic()) if self._due else None

    def sync(self) -> None:
        """Bring to the disk what was written. Raises OSError."""
        self._due = 0.0
        os.fdatasync(self._handle)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.fdatasync(self._handle)
        os.close(self._handle)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            database = self.path.with_suffix(".db")
            raise Locked(f"{database} is in use by another process; stop it or choose another data_dir") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""File events from the kernel (inotify(7)) on the running event loop, without a thread."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_ONLYDIR = 0x1000000
_IN_Q_OVERFLOW = 0x4000

_HEADER = struct.Struct("iIII")
_BUFFER = 64 * 1024
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class FileEvent:
    """`name` is the entry's name in a watched directory, empty for the watched path itself."""

    watch: int
    mask: int
    name: str

    @property
    def lost(self) -> bool:
        """Whether the kernel had no room for events that came here: whoever keeps what they tell has to look anew."""
        return bool(self.mask & _IN_Q_OVERFLOW)


class Inotify:
    """One inotify instance; use as a context manager. Events queue until `wait` takes them."""

    def __init__(self) -> None:
        self._fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            code = ctypes.get_errno()
            hint = " (raise fs.inotify.max_user_instances)" if code == errno.EMFILE else ""
            raise OSError(code, os.strerror(code) + hint)
        self._events: deque[FileEvent] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def __enter__(self) -> Inotify:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, path: Path, mask: int) -> int:
        """Watch `path`; the watch's number. Raises OSError."""
        watch = int(_libc.inotify_add_watch(self._fd, os.fsencode(path), mask))
        if watch < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
        return watch

    def remove(self, watch: int) -> None:
        """Stop watching; a watch whose file is gone is already removed by the kernel."""
        _libc.inotify_rm_watch(self._fd, watch)

    async def wait(self, timeout: float | None = None) -> list[FileEvent]:
        """Every event queued so far, waiting for the first; empty after `timeout` seconds without one."""
        if not self._events:
            self._waiter = self._loop.create_future()
            try:
                await asyncio.wait((self._waiter,), timeout=timeout)
            finally:
                self._waiter = None
        events = list(self._events)
        self._events.clear()
        return events

    def close(self) -> None:
        """Release the kernel's instance; idempotent."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            watch, mask, _, length = _HEADER.unpack_from(data, offset)
            offset += _HEADER.size
            name = data[offset : offset + length].rstrip(b"\0")
            offset += length
            self._events.append(FileEvent(watch, mask, os.fsdecode(name)))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

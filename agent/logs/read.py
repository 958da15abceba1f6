"""Reading one container's log: from a point near its end, and on while it grows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from agent.logs.lines import Formatter, Options
from apimachinery.kit import inotify

_BLOCK = 64 * 1024
# While nothing is written, the container's state is looked at this often; it costs a dictionary lookup.
_STATE_SECONDS = 0.25


async def read_log(path: Path, options: Options, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log's wanted bytes in order. Raises OSError where there is no file.

    With `follow`, ends once `running` is false and everything written before was sent; survives rotation.
    """
    formatter = Formatter(options)
    if options.tail_lines == 0 and not options.follow:
        return
    if not options.follow:
        with path.open("rb") as file:
            file.seek(tail_start(file, options.tail_lines))
            for chunk in _drain(file, formatter, at_end=True):
                yield chunk
        return
    with inotify.Inotify() as events:
        # The directory, since rotation renames the file and makes a new one.
        events.add(path.parent, inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO)
        async for chunk in _follow(path, formatter, options, events, running):
            yield chunk


async def _follow(
    path: Path,
    formatter: Formatter,
    options: Options,
    events: inotify.Inotify,
    running: Callable[[], bool],
) -> AsyncIterator[bytes]:
    file = path.open("rb")
    try:
        file.seek(tail_start(file, options.tail_lines))
        while not formatter.full:
            # Asked before reading: what was written before the end is then always read.
            alive = running()
            for chunk in _drain(file, formatter, at_end=not alive):
                yield chunk
            if _replaced(path, file):
                fresh = path.open("rb")
                # The runtime wrote to the old file until it opened this one.
                for chunk in _drain(file, formatter, at_end=True):
                    yield chunk
                file.close()
                file = fresh
            elif not alive:
                return
            else:
                await events.wait(_STATE_SECONDS)
    finally:
        file.close()


def _drain(file: BinaryIO, formatter: Formatter, at_end: bool) -> Iterator[bytes]:
    """Every whole line left in the file, joined to blocks; a half-written last line waits unless `at_end`."""
    block = bytearray()
    while not formatter.full:
        start = file.tell()
        raw = file.readline()
        if not raw:
            break
        if not raw.endswith(b"\n") and not at_end:
            file.seek(start)
            break
        block += formatter.format(raw)
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _replaced(path: Path, file: BinaryIO) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(file.fileno())
    return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino)


def tail_start(file: BinaryIO, lines: int | None) -> int:
    """Where the last `lines` lines begin; 0 for all."""
    if lines is None or lines < 0:
        return 0
    size = file.seek(0, os.SEEK_END)
    if lines == 0:
        return size
    position, wanted = size, lines
    if size:
        file.seek(size - 1)
        # The last line's own newline is no separator.
        wanted += file.read(1) == b"\n"
    while position > 0:
        start = max(0, position - _BLOCK)
        file.seek(start)
        block = file.read(position - start)
        found = block.count(b"\n")
        if found >= wanted:
            index = len(block)
            for _ in range(wanted):
                index = block.rindex(b"\n", 0, index)
            return start + index + 1
        wanted -= found
        position = start
    return 0

"""The disk under a lab: where it is full, daemons cannot write, and whoever waits for them waits in vain."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from lab.paths import Paths

LITTLE = 32 << 20
"""Bytes below which a failure is put down to the disk; an API server whose disk was full writes again from here on."""
NOTHING = 1 << 20
"""Bytes below which nothing is waited for any longer."""
PATIENCE = 5.0
"""Seconds that it may be so: a program that is just being unpacked or rotated gives room back."""
_PAUSE = 0.5

T = TypeVar("T")


class NoRoomError(Exception):
    """The disk is full; the message says which, and what to do."""


def is_full(error: Exception) -> bool:
    """Whether a disk, or what one may take of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def free(directory: Path) -> int:
    """Bytes that root can still write below a directory, which need not be there yet."""
    while not directory.exists():
        directory = directory.parent
    disk = os.statvfs(directory)
    return disk.f_bfree * disk.f_frsize


def remedy(paths: Paths) -> str:
    """What is wrong and what helps, where the disk is full."""
    left = free(paths.state) >> 20
    return (
        f"{paths.state} has no space left ({left} MB free): have {LITTLE >> 20} MB free on that disk "
        f"(`du -xhd2 {paths.state}` shows what of the lab is large), then run the same command again"
    )


async def needed(paths: Paths, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; NoRoomError where it cannot write, or once the disk has been full for PATIENCE: then it is
    given up."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_until_full(paths))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise NoRoomError(remedy(paths))
        return task.result()
    except OSError as error:
        if is_full(error):
            raise NoRoomError(remedy(paths)) from error
        raise
    finally:
        for each in (task, watch):
            each.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _until_full(paths: Paths) -> None:
    full = 0.0
    while full < PATIENCE:
        await asyncio.sleep(_PAUSE)
        full = full + _PAUSE if free(paths.state) < NOTHING else 0.0

"""What a daemon that holds much does with memory: what it has freed should be the machine's again, and what stays is
not looked at over and over.

By default glibc stops giving large blocks back once it has seen a few of them, and keeps an arena for each thread.
Elsewhere than on glibc nothing is changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

LARGE = 320 << 10
"""Bytes from which on a block is mapped on its own. More than 256 KB, which is what the loop asks for and gives back at
each read from a TLS connection: mapping those costs a small request a fifth of its time."""


def tune() -> None:
    """Set it up, before threads are started."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LARGE)
        library.mallopt(_TRIM_THRESHOLD, 1 << 20)
        library.mallopt(_ARENA_MAX, 2)


def give_back() -> None:
    """Return what lies free between what is in use: milliseconds for some hundred MB, beside other threads."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class _Fillers:
    """How many fill, and whether it collected before the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._collected = False

    def begin(self) -> None:
        with self._lock:
            if not self._count:
                self._collected = gc.isenabled()
                gc.disable()
            self._count += 1

    def end(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count and self._collected:
                gc.enable()


_fillers = _Fillers()


@contextmanager
def filling(stays: bool = False) -> Iterator[None]:
    """While much is read or made: the collector would look at all of it again and again, and stop all threads.

    `stays`: and it would do so once more right after, unless what was made counts as old: half a million values take
    it 0.1 s.

    Several threads may be at it: it collects again when the last has done.
    """
    _fillers.begin()
    try:
        yield
        if stays:
            let_stay()
    finally:
        _fillers.end()


def let_stay() -> None:
    """Whatever there is counts as old: only a collection of everything, which comes rarely, looks at it again."""
    gc.freeze()
    # Into the oldest generation, with what `settle` had put aside: what is garbage after all can be found there.
    gc.unfreeze()


def settle() -> None:
    """What lives from here on is mostly there to stay: to collect it again and again would only cost latency. Call it
    when the daemon is built; nothing of it is garbage then, and to look for some takes 40 ms.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)

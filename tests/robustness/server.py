"""An API server as a process of its own, with bookmarks every half second, and on demand with a planted fault.

    python -m tests.robustness.server FILE [PLANT]

A checker that has never failed proves nothing: each fault is one that a change of the code could bring.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

from apimachinery.kit import daemon
from controlplane.apiserver import __main__ as apiserver
from controlplane.apiserver import compaction, reading
from controlplane.apiserver.cache.cache import Cache
from controlplane.apiserver.settings import Settings
from controlplane.store import Change, journal
from controlplane.store.checksum import Row
from controlplane.store.etcd.store import EtcdStore

_EVERY = 30
"""Writes between two of them."""


def lost_commit() -> None:
    """One write of many is answered without being written, as if an fsync were left out and the machine then failed.

    The store itself finds it at the next start, and refuses.
    """
    real, count = journal.append, [0]

    def append(link: sqlite3.Connection, new: Sequence[Row]) -> None:
        count[0] += 1
        if count[0] % _EVERY:
            real(link, new)

    journal.append = append


def swapped_events() -> None:
    """Two changes are told in the wrong order."""
    real, held = Cache.deliver, list[Change]()
    count = [0]

    def deliver(self: Cache, batch: Sequence[Change]) -> None:
        count[0] += 1
        if held:
            real(self, batch)
            real(self, [held.pop()])
        elif count[0] > _EVERY and len(batch) == 1 and "configmaps/" in batch[0].key:
            count[0] = 0
            held.extend(batch)
        else:
            real(self, batch)

    Cache.deliver = deliver  # type: ignore[method-assign]


def lost_event() -> None:
    """One change is never told."""
    real, count = Cache.deliver, [0]

    def deliver(self: Cache, batch: Sequence[Change]) -> None:
        count[0] += 1
        if count[0] % _EVERY:
            real(self, batch)

    Cache.deliver = deliver  # type: ignore[method-assign]


def wall_clock() -> None:
    """How old history is, is told by a clock that people turn."""
    compaction.time = SimpleNamespace(monotonic=time.time)  # type: ignore[assignment, attr-defined]


def stale_reads() -> None:
    """Reads do not ask whether another server wrote something."""

    async def fresh(self: EtcdStore) -> None:
        return None

    EtcdStore.fresh = fresh  # type: ignore[method-assign]


def full_is_written() -> None:
    """What the disk did not take is answered as if it had."""
    real = journal.append

    def append(link: sqlite3.Connection, new: Sequence[Row]) -> None:
        with contextlib.suppress(sqlite3.OperationalError):
            real(link, new)

    journal.append = append


PLANTS: dict[str, Callable[[], None]] = {
    "lost-commit": lost_commit,
    "swapped-events": swapped_events,
    "lost-event": lost_event,
    "wall-clock": wall_clock,
    "stale-reads": stale_reads,
    "full-is-written": full_is_written,
}


def main(config: str, plant: str = "") -> None:
    reading._BOOKMARK_EVERY = 0.5
    # Often, so that a run of minutes sees it happen.
    compaction._EVERY, compaction._LOOK_EVERY = 1, 1
    if plant:
        PLANTS[plant]()
    daemon.run(daemon.begin("apiserver", Settings, Path(config)), apiserver.serve)


if __name__ == "__main__":
    main(*sys.argv[1:])

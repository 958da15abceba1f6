"""History ends somewhere: revisions that nobody resumes a watch from any more go, in the store and in memory alike."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

from controlplane.apiserver.cache.cache import Cache
from controlplane.store import Store, StoreError

log = logging.getLogger(__name__)

_EVERY = 60.0
_LOOK_EVERY = 5.0


async def run(store: Store, cache: Cache, history_seconds: int) -> None:
    """Keep so many seconds of history, in the store and in memory alike; none where there is no room for it."""
    marks: deque[tuple[float, int]] = deque()
    while True:
        marks.append((time.monotonic(), cache.revision))
        for _ in range(round(_EVERY / _LOOK_EVERY)):
            await asyncio.sleep(_LOOK_EVERY)
            if store.trouble and store.compacted < cache.revision:
                await _forget(store, cache, cache.revision)
        due = 0
        while marks and marks[0][0] <= time.monotonic() - history_seconds:
            due = marks.popleft()[1]
        if due:
            await _forget(store, cache, due)


async def _forget(store: Store, cache: Cache, revision: int) -> None:
    try:
        await store.compact(revision)
    except StoreError as error:
        log.warning("history could not be compacted: %s", error)
    else:
        cache.forget(revision)

"""A queue of keys to work on: each at most once at a time, however often it is added; failures back off.

The same promises as client-go's `util/workqueue`: a key added while it is worked on is worked on again
afterwards, never beside it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from apimachinery.errors import Conflict, Unreachable
from apimachinery.kit import metrics

log = logging.getLogger(__name__)

K = TypeVar("K")

# The n-th failure of a key waits BACKOFF_FIRST · 2ⁿ seconds, at most BACKOFF_MAX (upstream's 5 ms … 1,000 s).
BACKOFF_FIRST = 0.005
BACKOFF_MAX = 1000.0
# Seconds between tries while the API server cannot be reached.
AWAY_PAUSE = 0.5

_WAITED = metrics.histogram(
    "workqueue_queue_duration_seconds",
    "How long keys waited, from when they were added until somebody worked on them",
    ("name",),
)
_WORKED = metrics.histogram("workqueue_work_duration_seconds", "How long the work on a key took", ("name",))


class ShutDown(Exception):
    """The queue was shut down and is empty."""


class WorkQueue(Generic[K]):
    """Keys waiting, keys in work, keys that wait for their time."""

    def __init__(self, name: str = "", backoff_max: float = BACKOFF_MAX, backoff_first: float = BACKOFF_FIRST) -> None:
        self._name = name
        self._backoff_first = backoff_first
        self._backoff_max = backoff_max
        self._waiting: deque[K] = deque()
        # Keys that are to be worked on, at once or later, and since when.
        self._dirty: dict[K, float] = {}
        self._working: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        # Seconds for which keys in work are to rest afterwards, and those that do.
        self._rests: dict[K, float] = {}
        self._resting: dict[K, asyncio.TimerHandle] = {}
        self._ready = asyncio.Event()
        self._down = False
        self._waited, self._worked = _WAITED.labels(name), _WORKED.labels(name)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: K) -> None:
        """Work on `key` soon; nothing happens if it already waits."""
        if self._down or key in self._dirty:
            return
        self._dirty[key] = time.perf_counter()
        if key not in self._working and key not in self._resting:
            self._wait(key)

    def _wait(self, key: K) -> None:
        self._waiting.append(key)
        self._ready.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Add `key` in `seconds`; of several such wishes the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def add_rate_limited(self, key: K) -> float:
        """Add `key` after its next back-off pause, and return that pause in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause: float = min(self._backoff_first * 2 ** min(failures, 40), self._backoff_max)
        self.add_after(key, pause)
        return pause

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts the back-off anew."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key, which is then in work until `done`. Raises ShutDown at the end."""
        while not self._waiting:
            if self._down:
                raise ShutDown
            self._ready.clear()
            await self._ready.wait()
        key = self._waiting.popleft()
        self._waited.observe(time.perf_counter() - self._dirty.pop(key))
        self._working.add(key)
        return key

    def rest(self, key: K, seconds: float) -> None:
        """Once the work on `key`, which is under way, is done, work on it again only after so long: whatever is added
        meanwhile comes together then."""
        self._rests[key] = seconds

    def done(self, key: K) -> None:
        """The work on `key` ended, well or badly."""
        self._working.discard(key)
        seconds = self._rests.pop(key, 0.0)
        if seconds > 0 and not self._down:
            self._resting[key] = asyncio.get_running_loop().call_later(seconds, self._rested, key)
        elif key in self._dirty:
            self._wait(key)

    def _rested(self, key: K) -> None:
        self._resting.pop(key).cancel()
        if key in self._dirty:
            self._wait(key)

    def shut_down(self) -> None:
        """Accept no more keys; workers end when the waiting ones are done."""
        self._down = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for key in list(self._resting):
            self._rested(key)
        self._ready.set()

    async def run_workers(self, count: int, work: Callable[[K], Awaitable[None]]) -> None:
        """Work keys off with `count` workers until shut down; a failed key comes back after its pause."""
        await asyncio.gather(*(self._worker(work) for _ in range(count)))

    async def _worker(self, work: Callable[[K], Awaitable[None]]) -> None:
        while True:
            try:
                key = await self.get()
            except ShutDown:
                self._ready.set()  # wake the next worker, so that it too sees the end
                return
            begun = time.perf_counter()
            try:
                await work(key)
                self.forget(key)
            except Exception as error:
                if isinstance(error, Unreachable):
                    # No fault of the key's: a server that comes back finds nobody deep in back-off.
                    pause = AWAY_PAUSE
                    self.add_after(key, pause)
                else:
                    pause = self.add_rate_limited(key)
                # A lost race is how optimistic writes work; only other failures are news.
                level = logging.DEBUG if isinstance(error, Conflict) else logging.WARNING
                log.log(
                    level,
                    "%s: %s failed, again in %.3g s: %s",
                    self._name,
                    key,
                    pause,
                    error,
                    exc_info=log.isEnabledFor(logging.DEBUG),
                )
            finally:
                self._worked.observe(time.perf_counter() - begun)
                self.done(key)

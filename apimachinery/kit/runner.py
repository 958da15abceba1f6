"""Pacing for a loop that brings the world in line: at once when quiet, coalesced when busy, retried."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class BoundedFrequencyRunner:
    """Runs `fn` when triggered, never twice within `min_interval`, at least every `max_interval`.

    All intervals are seconds. A failed run is logged and tried again after `retry_interval` (or sooner, when
    triggered). Triggers that arrive during a run cause exactly one more.
    """

    def __init__(
        self,
        fn: Callable[[], Awaitable[None]],
        *,
        min_interval: float,
        max_interval: float,
        retry_interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fn = fn
        self._min = min_interval
        self._max = max_interval
        self._retry = retry_interval
        self._clock = clock
        self._wanted = False
        self._waiting: asyncio.Future[None] | None = None

    def trigger(self) -> None:
        """Ask for a run; cheap, and safe from any callback of the loop."""
        self._wanted = True
        _wake(self._waiting)

    async def run(self) -> None:
        """Serve triggers for ever."""
        wait = self._max
        while True:
            if not self._wanted:
                await self._triggered(wait)
            self._wanted = False
            started = self._clock()
            try:
                await self._fn()
                wait = self._max
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.error("run failed, next try in %g s: %s", self._retry, error, exc_info=error)
                wait = self._retry
            rest = self._min - (self._clock() - started)
            if rest > 0:
                await asyncio.sleep(rest)

    async def _triggered(self, seconds: float) -> None:
        """Return when that is so, but no later. A future alone: a task that waits for an event would take two turns of
        the loop more to wake up, and many a run is shorter than that."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        timer = loop.call_later(max(0.0, seconds), _wake, self._waiting)
        try:
            await self._waiting
        finally:
            timer.cancel()
            self._waiting = None


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)

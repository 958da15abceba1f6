"""Pacing for a loop that brings the world in line: at once when quiet, coalesced when busy, retried."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from apimachinery.kit.tasks import is_set_within

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
        self._wanted = asyncio.Event()

    def trigger(self) -> None:
        """Ask for a run; cheap, and safe from any callback of the loop."""
        self._wanted.set()

    async def run(self) -> None:
        """Serve triggers for ever."""
        wait = self._max
        while True:
            await is_set_within(self._wanted, wait)
            self._wanted.clear()
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

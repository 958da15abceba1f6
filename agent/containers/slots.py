"""How many starts the runtime is asked for at the same time.

Starting is CPU bound in the runtime. Unbounded, thirty pods created at once all become ready at the very end; bounded,
with the later steps of pods already begun going first, the first is ready as early as alone and the last no later.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import heapq
import itertools
from collections.abc import AsyncIterator


class Step(enum.IntEnum):
    """Later steps of a pod go before earlier ones of another."""

    START = 0
    CREATE = 1
    SANDBOX = 2


class Slots:
    """`limit` holders at a time; the rest wait by step, then in order of arrival."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @contextlib.asynccontextmanager
    async def hold(self, step: Step) -> AsyncIterator[None]:
        await self._acquire(step)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, step: Step) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (step, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The turn came in the same moment: pass it on.
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

"""How far changes have been taken in, and those who wait for it."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class Progress:
    """revision only grows; all on one event loop."""

    def __init__(self, revision: int = 0) -> None:
        self.revision = revision
        # By revision: a step costs what it wakes, however many wait for later ones. The number keeps their order.
        self._waiters: list[tuple[int, int, asyncio.Future[bool]]] = []
        self._numbers = itertools.count()

    def advance(self, revision: int) -> None:
        """Everything up to a revision has been taken in."""
        self.revision = max(self.revision, revision)
        while self._waiters and self._waiters[0][0] <= self.revision:
            _settle(heapq.heappop(self._waiters)[2], True)

    async def reach(self, revision: int, timeout: float) -> bool:
        """Wait until a revision is reached; False when it is not within timeout seconds."""
        if revision <= self.revision:
            return True
        loop = asyncio.get_running_loop()
        reached: asyncio.Future[bool] = loop.create_future()
        # Who gave up stays in the heap until its revision comes: there are few, and it does.
        heapq.heappush(self._waiters, (revision, next(self._numbers), reached))
        timer = loop.call_later(timeout, _settle, reached, False)
        try:
            return await reached
        finally:
            timer.cancel()


def _settle(reached: asyncio.Future[bool], result: bool) -> None:
    if not reached.done():
        reached.set_result(result)

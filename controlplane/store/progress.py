"""How far changes have been taken in, and those who wait for it."""

from __future__ import annotations

import asyncio
import contextlib


class Progress:
    """revision only grows; all on one event loop."""

    def __init__(self, revision: int = 0) -> None:
        self.revision = revision
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def advance(self, revision: int) -> None:
        """Everything up to a revision has been taken in."""
        self.revision = max(self.revision, revision)
        if not self._waiters:
            return
        for wanted, future in self._waiters:
            if wanted <= self.revision and not future.done():
                future.set_result(None)

    async def reach(self, revision: int, timeout: float) -> bool:
        """Wait until a revision is reached; False when it is not within timeout seconds."""
        if revision <= self.revision:
            return True
        waiter = (revision, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(waiter[1], timeout)
        finally:
            self._waiters.remove(waiter)
        return revision <= self.revision

"""One question to etcd for everybody who waits for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Shared:
    """A call whose answer serves all who wait for one that begins after they asked. It is made when it is asked for,
    unless one is under way, which began too early: then as soon as that has ended.
    """

    def __init__(self, call: Callable[[], Awaitable[int]]) -> None:
        self._call = call
        self._running: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None

    async def result(self) -> int:
        """Raises what the call raises."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._begin(self._running))
        return await asyncio.shield(self._next)

    async def _begin(self, before: asyncio.Task[int] | None) -> int:
        if before is not None:
            await asyncio.wait((before,))
        self._running, self._next = self._next, None
        return await self._call()

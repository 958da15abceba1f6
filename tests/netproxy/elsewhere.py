"""A mode that has work to do while the test's thread waits for answers: in a thread and a namespace apart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from apimachinery.kit import netns
from netproxy import modes
from netproxy.ground import Ground
from netproxy.model import PortKey, Route


class Elsewhere:
    """modes.Mode, each call handed over. Its sockets and threads are those of the namespace `where`."""

    min_sync_seconds = 0.0

    def __init__(self, name: str, grounds: tuple[Ground, ...], where: Path) -> None:
        self.name = name
        self._mode = modes.make(name, grounds)
        self._loop: asyncio.AbstractEventLoop | None = None
        begun = threading.Event()
        self._thread = threading.Thread(target=netns.call, args=(where, lambda: self._run(begun)), daemon=True)
        self._thread.start()
        assert begun.wait(60)

    async def open(self) -> None:
        await self._there(self._mode.open())

    async def prepare(self) -> None:
        await self._there(self._mode.prepare())

    async def rebuild(self, routes: Mapping[PortKey, Route]) -> None:
        await self._there(self._mode.rebuild(routes))

    async def change(self, routes: Mapping[PortKey, Route | None]) -> None:
        await self._there(self._mode.change(routes))

    async def watch(self, on_lost: Callable[[], None], on_mended: Callable[[], None]) -> None:
        await self._there(self._mode.watch(on_lost, on_mended))

    async def cleanup(self, patience: float = 0.0) -> None:
        await self._there(self._mode.cleanup(patience))

    async def tidy(self) -> None:
        await self._there(self._mode.tidy())

    def close(self) -> None:
        async def end() -> None:
            self._mode.close()

        if self._loop is None or self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    async def _there(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _run(self, begun: threading.Event) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.call_soon(begun.set)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

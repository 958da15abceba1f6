"""A file that holds what must be known after a restart, written anew after every change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from apimachinery.kit.files import write_atomic


class StateFile:
    """`dump`: what the file is to hold, by the time it is written."""

    def __init__(self, path: Path, dump: Callable[[], bytes]) -> None:
        self.path = path
        self._dump = dump
        self._turn = asyncio.Lock()

    async def write(self) -> None:
        """Durable when it returns. One write after the other, each of all that is known at its turn: none may put an
        older state over a newer. Raises OSError; one whose caller is cancelled goes on.
        """
        await asyncio.shield(self._write())

    async def _write(self) -> None:
        async with self._turn:
            await asyncio.to_thread(write_atomic, self.path, self._dump())

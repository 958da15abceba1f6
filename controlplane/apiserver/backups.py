"""Copies of everything: on schedule into a folder, and to whoever may ask for /snapshot.

Only who may get that path may have it (cluster-admin, unless a role says more): Secrets lie in it as they are.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from apimachinery import errors
from controlplane.apiserver import ids
from controlplane.apiserver.replies import not_allowed
from controlplane.apiserver.request import Handler, Request, Response
from controlplane.store import Snapshot, Store, StoreError, backup

log = logging.getLogger(__name__)

_PIECE = 256 * 1024
_SENDING = ".sending-"


@dataclass(frozen=True)
class Schedule:
    """Every so many seconds (0: never) a snapshot into a folder; so many are kept, and none for longer than that."""

    folder: Path
    every: int
    count: int
    seconds: float


class Backups:
    """run() is the worker of the schedule, handler what answers /snapshot."""

    def __init__(self, store: Store, schedule: Schedule) -> None:
        self._store, self._schedule = store, schedule
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        await asyncio.to_thread(self._sweep)
        while self._schedule.every > 0:
            await asyncio.sleep(self._schedule.every)
            try:
                await self.take()
            except (StoreError, OSError) as error:
                log.warning("no backup was made: %s", error)

    async def take(self) -> None:
        """A scheduled snapshot, and the end of those that need not be kept. Raises StoreError, OSError."""
        made = await self._made(self._schedule.folder / backup.name_of(time.time(), self._store.revision))
        log.info("backup of %d objects at revision %d in %s", made.objects, made.revision, made.path)
        await asyncio.to_thread(self._prune)

    async def _made(self, path: Path) -> Snapshot:
        if self._store.trouble:
            raise StoreError(self._store.trouble)
        async with self._one_at_a_time:
            await asyncio.to_thread(path.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
            return await self._store.snapshot(path)

    def _prune(self) -> None:
        folder, kept = self._schedule.folder, self._schedule
        for name in backup.outdated((path.name for path in folder.iterdir()), time.time(), kept.count, kept.seconds):
            (folder / name).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """What a server left that was killed meanwhile."""
        for left in self._schedule.folder.glob("*"):
            if left.name.startswith(_SENDING) or backup.is_unfinished(left.name):
                left.unlink(missing_ok=True)

    @property
    def handler(self) -> Handler:
        async def handle(request: Request) -> Response:
            if request.method != "GET":
                raise not_allowed()
            path = self._schedule.folder / f"{_SENDING}{ids.new()}"
            try:
                made = await self._made(path)
                file = path.open("rb")
            except (StoreError, OSError) as error:
                raise errors.ServiceUnavailable(f"no backup can be made: {error}") from error
            finally:
                # Its client may go at any time, before the first byte or while it is made: this handle alone keeps it.
                path.unlink(missing_ok=True)
            headers = {"X-Wherry-Revision": str(made.revision), "X-Wherry-Objects": str(made.objects)}
            return Response(200, _sent(file), "application/vnd.sqlite3", headers)

        return handle


async def _sent(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece

"""The API servers of a cluster, as its kubernetes Service shows them: each keeps a key that goes when it falls silent.

Source: upstream's lease endpoint reconciler: /registry/masterleases/ADDRESS, kept for 15 s and written every 10 s. A
server alone on its store is there as long as it runs, and needs none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import orjson

from controlplane.apiserver.cache.cache import NO_OBJECT
from controlplane.store import Change, Delete, Put, Store, StoreError

log = logging.getLogger(__name__)

TTL, EVERY = 15, 10.0
"""Seconds: how long a server counts as there after it last said so, and how often it does."""
_FOLDER = f"{NO_OBJECT}masterleases//"


class Servers:
    """Follows the store; run() is the worker that keeps this server's key."""

    def __init__(self, store: Store, own: str) -> None:
        """own: the address at which clients reach this server; "": none."""
        self._store, self._own = store, own
        self._others: set[str] = set()
        self._heard: Callable[[], None] | None = None

    def addresses(self) -> list[str]:
        """Of all servers that are there, in order; this one always is, while it runs."""
        return sorted({self._own, *self._others} - {""})

    def follow(self, heard: Callable[[], None]) -> None:
        """Call heard() whenever the addresses change."""
        self._heard = heard

    def deliver(self, batch: Sequence[Change]) -> None:
        before = set(self._others)
        for change in batch:
            if change.key.startswith(_FOLDER):
                address = change.key.removeprefix(_FOLDER)
                (self._others.discard if change.value is None else self._others.add)(address)
        if self._others != before and self._heard is not None:
            self._heard()

    def advance(self, revision: int) -> None:
        """Nothing to do: only keys matter here."""

    def overtake(self, current: Sequence[Change], revision: int) -> None:
        self._others = set()
        self.deliver(current)

    @property
    def _shared(self) -> bool:
        return self._store.shared and bool(self._own)

    async def begin(self) -> None:
        """Say that this server is there."""
        if self._shared:
            body = orjson.dumps(
                {"kind": "Endpoints", "apiVersion": "v1", "subsets": [{"addresses": [{"ip": self._own}]}]}
            )
            await self._store.txn([Put(_FOLDER + self._own, body, ttl=TTL)])

    async def run(self) -> None:
        while self._shared:
            await asyncio.sleep(EVERY)
            try:
                await self.begin()
            except StoreError as error:
                log.warning("the kubernetes Service may lose this server: %s", error)

    async def leave(self) -> None:
        """Say that it stops."""
        if not self._shared:
            return
        try:
            await self._store.txn([Delete(_FOLDER + self._own, lenient=True)])
        except StoreError as error:
            log.warning("the kubernetes Service loses this server only after %d s: %s", TTL, error)

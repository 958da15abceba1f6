"""The collections of all kinds, kept up to date by following the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from apimachinery.kinds import Kind
from controlplane.apiserver.cache.collection import Collection
from controlplane.store import Change

log = logging.getLogger(__name__)


def key_of(kind: Kind, namespace: str, name: str) -> str:
    """The store's key of an object: storage/namespace/name (namespace empty for cluster-scoped kinds)."""
    return f"{kind.storage}/{namespace}/{name}"


class Cache:
    """Collections by storage name ("pods", "deployments.apps"); .revision is the newest change they
    reflect.
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.revision = 0
        self._collections: dict[str, Collection] = {}
        for kind in kinds:
            self._collections.setdefault(kind.storage, Collection(kind))
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def collection(self, kind: Kind) -> Collection:
        return self._collections[kind.storage]

    def collections(self) -> list[Collection]:
        return list(self._collections.values())

    def load(self, history: Sequence[Change], revision: int, compacted: int) -> None:
        """Fill from everything the store kept, in order."""
        for change in history:
            resource, namespace, name = change.key.split("/", 2)
            collection = self._collections.get(resource)
            if collection is None:
                log.warning("the store holds %s, of a kind this version does not serve", change.key)
                continue
            collection.load(namespace, name, change.revision, change.created, change.value)
        self.revision = revision
        for collection in self._collections.values():
            collection.forget(compacted)

    def deliver(self, batch: Sequence[Change]) -> None:
        """The store's follower: take in one batch."""
        for change in batch:
            resource, namespace, name = change.key.split("/", 2)
            collection = self._collections.get(resource)
            self.revision = change.revision
            if collection is not None:
                collection.apply(namespace, name, change.revision, change.created, change.value)
        if self._waiters:
            self._settle()

    def forget(self, revision: int) -> None:
        for collection in self._collections.values():
            collection.forget(revision)

    async def reach(self, revision: int, timeout: float) -> bool:
        """Wait until a revision is reflected; False when it is not within timeout seconds."""
        if revision <= self.revision:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((revision, future))
        try:
            await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            return False
        finally:
            self._waiters = [w for w in self._waiters if w[1] is not future]
        return True

    def _settle(self) -> None:
        for revision, future in self._waiters:
            if revision <= self.revision and not future.done():
                future.set_result(None)

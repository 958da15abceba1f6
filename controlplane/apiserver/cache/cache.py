"""The collections of all kinds, kept up to date by following the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from apimachinery.kinds import Kind
from controlplane.apiserver.cache.collection import Collection
from controlplane.apiserver.cache.selectable import Getter
from controlplane.store import Change

log = logging.getLogger(__name__)


def key_of(kind: Kind, namespace: str, name: str) -> str:
    """The store's key of an object: storage/namespace/name (namespace empty for cluster-scoped kinds)."""
    return f"{kind.storage}/{namespace}/{name}"


class Cache:
    """Collections by storage name ("pods", "deployments.apps"); .revision is the newest change they reflect."""

    def __init__(self) -> None:
        self.revision = 0
        self._collections: dict[str, Collection] = {}
        # What the store holds of kinds that are not served (now), by storage: kept for when they are.
        self._unserved: dict[str, list[Change]] = {}
        self._compacted = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def add(self, kind: Kind, node: Getter | None = None) -> None:
        """Keep a collection of this kind, with what the store holds of it; one that is there already stays.

        node: reads the node that an object belongs to, where an index by it is worth keeping.
        """
        if kind.storage in self._collections:
            return
        collection = self._collections[kind.storage] = Collection(kind, node)
        for change in self._unserved.pop(kind.storage, ()):
            _, namespace, name = change.key.split("/", 2)
            collection.load(namespace, name, change.revision, change.created, change.value)
        collection.forget(self.revision if self.revision else self._compacted)

    def drop(self, kind: Kind) -> None:
        """Keep the collection no more: its watches end, its objects stay in the store and come back with add()."""
        collection = self._collections.pop(kind.storage, None)
        if collection is None:
            return
        self._unserved[kind.storage] = [
            Change(entry.revision, key_of(kind, entry.namespace, entry.name), entry.body, entry.created)
            for entry in collection.scan()
        ]
        for watcher in collection.watchers():
            watcher.close()

    def collection(self, kind: Kind) -> Collection:
        """KeyError for a kind that is not kept."""
        return self._collections[kind.storage]

    def collections(self) -> list[Collection]:
        return list(self._collections.values())

    def load(self, history: Sequence[Change], revision: int, compacted: int) -> None:
        """Fill from everything the store kept, in order."""
        for change in history:
            resource, namespace, name = change.key.split("/", 2)
            collection = self._collections.get(resource)
            if collection is None:
                self._unserved.setdefault(resource, []).append(change)
                continue
            collection.load(namespace, name, change.revision, change.created, change.value)
        self.revision = revision
        self._compacted = compacted
        for collection in self._collections.values():
            collection.forget(compacted)
        if self._unserved:
            log.info("the store holds objects of kinds that are not served: %s", ", ".join(sorted(self._unserved)))

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

"""The collections of all kinds, kept up to date by following the store."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from apimachinery.kinds import Kind
from controlplane.apiserver.cache.collection import Collection
from controlplane.apiserver.cache.selectable import Getter
from controlplane.store import Change
from controlplane.store.progress import Progress

log = logging.getLogger(__name__)


NO_OBJECT = "."
"""How keys begin under which the server keeps something of its own."""


def key_of(kind: Kind, namespace: str, name: str) -> str:
    """The store's key of an object: storage/namespace/name (namespace empty for cluster-scoped kinds)."""
    return f"{kind.storage}/{namespace}/{name}"


class Cache:
    """Collections by storage name ("pods", "deployments.apps"); .revision is the newest change they reflect."""

    def __init__(self) -> None:
        self._progress = Progress()
        self._collections: dict[str, Collection] = {}
        # What the store holds of kinds that are not served (now), by storage: kept for when they are.
        self._unserved: dict[str, dict[str, Change]] = {}
        self._compacted = 0

    @property
    def revision(self) -> int:
        return self._progress.revision

    def add(self, kind: Kind, node: Getter | None = None, versioned: bool = False) -> None:
        """Keep a collection of this kind, with what the store holds of it; one that is there already stays.

        versioned: what is stored of it says its version.
        node: reads the node that an object belongs to, where an index by it is worth keeping.
        """
        if kind.storage in self._collections:
            return
        collection = self._collections[kind.storage] = Collection(kind, node, versioned)
        for change in self._unserved.pop(kind.storage, {}).values():
            _, namespace, name = change.key.split("/", 2)
            collection.load(namespace, name, change.revision, change.value)
        collection.index()
        collection.begin(self.revision if self.revision else self._compacted)

    def drop(self, kind: Kind) -> None:
        """Keep the collection no more: its watches end, its objects stay in the store and come back with add()."""
        collection = self._collections.pop(kind.storage, None)
        if collection is None:
            return
        self._unserved[kind.storage] = {
            key: Change(entry.revision, key, entry.body, 0)
            for entry in collection.scan()
            if (key := key_of(kind, entry.namespace, entry.name))
        }
        for watcher in collection.watchers():
            watcher.close()

    def collection(self, kind: Kind) -> Collection:
        """KeyError for a kind that is not kept."""
        return self._collections[kind.storage]

    def collections(self) -> list[Collection]:
        return list(self._collections.values())

    def load(self, history: Sequence[Change], revision: int, compacted: int) -> None:
        """Fill from everything the store kept, in order; index() follows, once everybody has read what he needs."""
        for change in history:
            resource, namespace, name = change.key.split("/", 2)
            collection = self._collections.get(resource)
            if collection is None:
                self._put_aside(resource, change)
                continue
            collection.load(namespace, name, change.revision, change.value)
        self._progress.advance(revision)
        self._compacted = compacted
        for collection in self._collections.values():
            collection.begin(compacted)
        if self._unserved:
            log.info("the store holds objects of kinds that are not served: %s", ", ".join(sorted(self._unserved)))

    def index(self) -> None:
        """Have what lists and watches look up at hand, before the first of them waits for it."""
        for collection in self._collections.values():
            collection.index()

    def deliver(self, batch: Sequence[Change]) -> None:
        """The store's follower: take in one batch."""
        for change in batch:
            resource, namespace, name = change.key.split("/", 2)
            collection = self._collections.get(resource)
            if collection is not None:
                collection.apply(namespace, name, change.revision, change.value)
            else:
                self._put_aside(resource, change)
        self._progress.advance(batch[-1].revision)

    def _put_aside(self, resource: str, change: Change) -> None:
        """What is no object (of a kind that is served now) is kept as it is now."""
        if resource.startswith(NO_OBJECT):
            return
        aside = self._unserved.setdefault(resource, {})
        aside.pop(change.key, None)
        if change.value is not None:
            aside[change.key] = change

    def advance(self, revision: int) -> None:
        """Nothing more happened up to a revision."""
        self._progress.advance(revision)

    def overtake(self, current: Sequence[Change], revision: int) -> None:
        """Changes were missed: take in what is there at a revision, and have everybody who watches list again."""
        for collection in self._collections.values():
            for watcher in collection.watchers():
                watcher.outrun()
        there = {change.key for change in current}
        gone = [
            Change(revision, key, None, 0)
            for collection in self._collections.values()
            for entry in collection.scan()
            if (key := key_of(collection.kind, entry.namespace, entry.name)) not in there
        ]
        newer = [change for change in current if change.revision > self.revision]
        if missed := sorted((*newer, *gone), key=lambda change: change.revision):
            self.deliver(missed)
        self._progress.advance(revision)
        for collection in self._collections.values():
            collection.begin(revision)

    def forget(self, revision: int) -> None:
        for collection in self._collections.values():
            collection.forget(revision)

    async def reach(self, revision: int, timeout: float) -> bool:
        """Wait until a revision is reflected; False when it is not within timeout seconds."""
        return await self._progress.reach(revision, timeout)

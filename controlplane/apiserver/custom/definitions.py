"""Definitions followed: the catalog has their rows as soon as their names are accepted, on each server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from apimachinery.kinds import CUSTOM_RESOURCE_DEFINITION as DEFINITION
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, alike, condition_holds
from controlplane.apiserver.cache.events import Event
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.custom import naming
from controlplane.apiserver.custom.rows import ByWebhook, Parts, parts, prepared, rows
from controlplane.apiserver.offloop import LARGE, beside_loop
from controlplane.apiserver.registry import Registry

log = logging.getLogger(__name__)


class Definitions:
    """Belongs to the server's loop. Makes no requests and writes nothing."""

    def __init__(self, registry: Registry, by_webhook: ByWebhook) -> None:
        self._registry = registry
        self._by_webhook = by_webhook
        # By name of the definition: what its rows are made of, and their kinds.
        self._installed: dict[str, tuple[Any, tuple[Kind, ...]]] = {}
        # What takes long to make, of those of which it is there or being made, and what they are by now.
        self._parts: dict[str, Parts] = {}
        self._making: dict[str, asyncio.Future[None]] = {}
        self._newest: dict[str, Obj] = {}
        self._followers: list[Callable[[str, str], None]] = []
        self._ending: list[Callable[[str], None]] = []

    async def begin(self) -> None:
        """Install all that are there, and follow what becomes of them."""
        self._registry.subscribe(DEFINITION, self._changed)
        for name in list(self._making):
            await self.made(name)

    async def made(self, name: str) -> None:
        """Wait until what takes long to make of a definition as it is now is there."""
        while (making := self._making.get(name)) is not None:
            await asyncio.shield(making)

    def follow(self, follower: Callable[[str, str], None]) -> None:
        """Call with name and group of each definition that comes, changes or goes, on the loop."""
        self._followers.append(follower)

    def follow_end(self, follower: Callable[[str], None]) -> None:
        """Call with the name of a definition that ends, when the last of its objects has gone, and when one has come
        that was let in before the end.
        """
        self._ending.append(follower)

    def of_group(self, group: str) -> list[Obj]:
        """Those of a group; none is read for it."""
        return [one for one in self._newest.values() if one["spec"]["group"] == group]

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        subject = new or old
        assert subject is not None
        name = subject["metadata"]["name"]
        self._follow(name, new)
        for follower in self._followers:
            follower(name, subject["spec"]["group"])

    def _follow(self, name: str, definition: Obj | None) -> None:
        """Install it, as soon as its parts are there: those of a large one are made beside the loop."""
        if definition is None:
            self._newest.pop(name, None)
            self._parts.pop(name, None)
        else:
            found, stored = self._parts.get(name), self._registry.collection(DEFINITION).get("", name)
            if found is not None and found.fits(definition):
                definition = found.shared(definition)
            else:
                found = None
            self._newest[name] = definition
            if found is None and stored is not None and len(stored.wire) >= LARGE:
                if name not in self._making:
                    self._making[name] = asyncio.ensure_future(self._make(name))
                return
        self._try(name, definition)

    async def _make(self, name: str) -> None:
        try:
            while (definition := self._newest.get(name)) is not None:
                found = await beside_loop(prepared, definition)
                if (newest := self._newest.get(name)) is not None and found.fits(newest):
                    self._parts[name], self._newest[name] = found, found.shared(newest)
                    break
        except Exception:
            log.exception("%s cannot be served", name)
            return
        finally:
            del self._making[name]
        self._try(name, self._newest.get(name))

    def _try(self, name: str, definition: Obj | None) -> None:
        try:
            self._install(name, definition)
        except Exception:
            # One that another server let in, say: the others must be served all the same.
            log.exception("%s cannot be served", name)

    def _install(self, name: str, definition: Obj | None) -> None:
        before, kinds = self._installed.get(name, (None, ()))
        now = None if definition is None else _substance(definition)
        if now == before and (now is None or alike(now[0], before[0])):
            return
        catalog, cache = self._registry.catalog, self._registry.cache
        # While its parts were made, objects were written as before.
        since = cache.revision if kinds else 0
        made = self._rows(name, definition, since) if definition is not None else []
        built_in = {row.kind.storage for row in catalog if row.custom is None}
        made = [row for row in made if row.kind.storage not in built_in]
        catalog.add(*made)
        there = {row.kind.version for row in made}
        for kind in kinds:
            if kind.version not in there:
                catalog.remove(kind)
        if not made:
            self._installed.pop(name, None)
            return
        self._installed[name] = (now, tuple(row.kind for row in made))
        collection = cache.collection(made[0].kind)
        if not kinds:
            collection.follow(partial(self._object_changed, name))
        # Clients come back to the schemas of now.
        for watcher in collection.watchers():
            watcher.close()

    def _rows(self, name: str, definition: Obj, since: int) -> list[Resource]:
        found = self._parts.get(name)
        if found is None or not found.fits(definition):
            found = self._parts[name] = parts(definition)
        return rows(definition, found, self._by_webhook, since)

    def _object_changed(self, name: str, event: Event) -> None:
        if (event.old is not None and event.new is not None) or name not in self._installed:
            return
        _, (kind, *_) = self._installed[name]
        if not self._registry.strategy(kind).closed:
            return
        if event.new is not None or not len(self._registry.collection(kind)):
            for follower in self._ending:
                follower(name)


def _substance(definition: Obj) -> Any:
    """What rows are made of."""
    ending = condition_holds(definition, "Terminating")
    return definition["spec"], naming.accepted(definition), naming.is_served(definition), ending

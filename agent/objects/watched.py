"""Config maps and secrets the node's pods use, each watched by name for as long as a pod uses it.

Why watches by name and neither a list of all nor GETs with a time to live: the Node authorizer lets an agent see only
objects its pods refer to, and only by name; a watch shows a change in milliseconds where a time to live means a poll on
the path; and the second pod with the same references costs no call at all. The price is one idle connection per
distinct object, which immutable objects give back at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.kinds import Kind
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

SYNC_SECONDS = 10.0


class NotSynced(Exception):
    """The object could not be read in time."""


@dataclass
class _Entry:
    informer: Informer
    task: asyncio.Task[None]
    users: set[str] = field(default_factory=set)


class Watched:
    """A reference-counted cache of single objects."""

    def __init__(self, client: Client, changed: Callable[[str], None]) -> None:
        self._client = client
        self._changed = changed
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._immutable: dict[tuple[str, str], Obj] = {}
        self._users: dict[tuple[str, str], set[str]] = {}

    async def get(self, kind: Kind, namespace: str, name: str, user: str) -> Obj | None:
        """The object, or None when there is none; `user` (a pod's uid) is told of later changes."""
        key = (kind.plural, f"{namespace}/{name}")
        self._users.setdefault(key, set()).add(user)
        if key in self._immutable:
            return self._immutable[key]
        entry = self._entries.get(key) or self._start(kind, namespace, name, key)
        try:
            await asyncio.wait_for(entry.informer.wait_synced(), SYNC_SECONDS)
        except asyncio.TimeoutError as error:
            raise NotSynced(f"failed to sync {kind.singular} cache: timed out waiting for the condition") from error
        found = entry.informer.get(f"{namespace}/{name}")
        if found is not None and found.get("immutable"):
            self._immutable[key] = found
            self._stop(key)
        return found

    def release(self, user: str) -> None:
        """The pod is gone; what nobody uses any more is no longer watched."""
        for key in [key for key, users in self._users.items() if user in users]:
            self._users[key].discard(user)
            if not self._users[key]:
                del self._users[key]
                self._immutable.pop(key, None)
                self._stop(key)

    def close(self) -> None:
        """Stop every watch."""
        for key in list(self._entries):
            self._stop(key)

    def _start(self, kind: Kind, namespace: str, name: str, key: tuple[str, str]) -> _Entry:
        informer = Informer(self._client, kind, namespace=namespace, field_selector=f"metadata.name={name}")
        task = asyncio.get_running_loop().create_task(informer.run(), name=f"watch {kind.plural} {key[1]}")
        task.add_done_callback(_report)
        entry = self._entries[key] = _Entry(informer, task)

        def seen(old: Obj | None, new: Obj | None) -> None:
            if entry.informer.has_synced:
                for user in tuple(self._users.get(key, ())):
                    self._changed(user)

        informer.add_handler(seen)
        return entry

    def _stop(self, key: tuple[str, str]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            entry.task.cancel()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("%s ended: %s", task.get_name(), task.exception())

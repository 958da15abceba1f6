"""Creations and deletions asked for but not yet seen in the cache.

A loop that acts on a cache which lags behind its own writes would do them twice. Every write is noted by the
name (a creation) or uid (a deletion) it concerns until the cache shows it. There is no timeout that lets a
loop go ahead
blindly: what stays unseen is asked of the API itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.kinds import Kind
from apimachinery.objects import is_deleting, split_key, uid

# After this many seconds unseen, ask the API server whether it happened.
DOUBT_AFTER = 5.0


class Expectations:
    """By owner uid: keys of objects being created, and uid → key of objects being deleted."""

    def __init__(self, kind: Kind, informer: Informer, clock: Callable[[], float] = time.monotonic) -> None:
        self._kind = kind
        self._informer = informer
        self._clock = clock
        self._creations: dict[str, dict[str, float]] = {}
        self._deletions: dict[str, dict[str, tuple[str, float]]] = {}

    def creating(self, owner: str, key: str) -> None:
        self._creations.setdefault(owner, {})[key] = self._clock()

    def created(self, owner: str, key: str) -> None:
        """The cache shows it, or it certainly failed."""
        _drop(self._creations, owner, key)

    def deleting(self, owner: str, obj_uid: str, key: str) -> None:
        self._deletions.setdefault(owner, {})[obj_uid] = (key, self._clock())

    def deleted(self, owner: str, obj_uid: str) -> None:
        """The cache shows it going or gone, or the deletion certainly failed."""
        _drop(self._deletions, owner, obj_uid)

    def settled(self, owner: str) -> bool:
        """Whether the cache shows everything the owner asked for."""
        return owner not in self._creations and owner not in self._deletions

    def forget(self, owner: str) -> None:
        """The owner is gone."""
        self._creations.pop(owner, None)
        self._deletions.pop(owner, None)

    async def verify(self, owner: str, client: Client) -> None:
        """Drop what the API server says did not happen, or happened and is over. Raises ApiError,
        Unreachable.
        """
        limit = self._clock() - DOUBT_AFTER
        for key, since in list(self._creations.get(owner, {}).items()):
            if since <= limit and await _is_gone(client, self._kind, key, None):
                self.created(owner, key)
        for obj_uid, (key, since) in list(self._deletions.get(owner, {}).items()):
            if since <= limit and await _is_gone(client, self._kind, key, obj_uid):
                self.deleted(owner, obj_uid)


def _drop(table: dict[str, dict[str, float]] | dict[str, dict[str, tuple[str, float]]], owner: str, key: str) -> None:
    entries = table.get(owner)
    if entries is None:
        return
    entries.pop(key, None)
    if not entries:
        del table[owner]


async def _is_gone(client: Client, kind: Kind, key: str, obj_uid: str | None) -> bool:
    space, name = split_key(key)
    # A list of one: controllers of pods may list them, but not get them.
    found = (await client.list(kind, space, field_selector=f"metadata.name={name}"))["items"]
    return not found or (obj_uid is not None and (uid(found[0]) != obj_uid or is_deleting(found[0])))

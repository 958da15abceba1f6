"""Objects that go by themselves: Events, so long after they were last written (upstream's --event-ttl).

Upstream attaches a lease of etcd to each. Here one worker holds the keys in the order in which their time comes: it
sleeps until the first is due, and what it does grows with what expires, not with what there is. Nobody is asked about
such a removal (no admission, no finalizer), and watches hear of it as of any other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.timestamps import now as utc_now
from apimachinery.timestamps import parse_time
from controlplane.apiserver.cache.events import Event
from controlplane.apiserver.registry import Registry
from controlplane.store import Mismatch, StoreError

log = logging.getLogger(__name__)

_AT_ONCE = 64
# Seconds between two rounds, so that what expires one by one is taken together; and until another try on a full disk.
_REST, _LATER = 1.0, 30.0
# Objects read at the start between two turns of everybody else.
_FEW = 200

Key = tuple[str, str]


def seconds_left(obj: Obj, ttl: float, now: datetime) -> float:
    """What a stored object has left, by the server's own stamps: when it was made, and when anybody last changed it."""
    found = obj["metadata"]
    stamps = [found.get("creationTimestamp"), *(entry.get("time") for entry in found.get("managedFields") or ())]
    written = [parse_time(stamp) for stamp in stamps if stamp]
    age = (now - max(written)).total_seconds() if written else 0.0
    return min(max(ttl - age, 0.0), ttl)


class Expiry:
    """The worker of one kind: follows it from the moment it is made; run() does the rest."""

    def __init__(self, registry: Registry, kind: Kind, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        """ttl, clock: seconds."""
        self._registry, self._kind, self._ttl, self._clock = registry, kind, ttl, clock
        # When an object is due and the revision that this is about, the first due first.
        self._due: OrderedDict[Key, tuple[float, int]] = OrderedDict()
        registry.collection(kind).follow(self._changed)

    async def run(self) -> None:
        await self.begin()
        while True:
            await self.sweep()
            first = next(iter(self._due.values()), None)
            # Whatever is written meanwhile has more time than that.
            left = first[0] - self._clock() if first is not None else self._ttl
            await asyncio.sleep(max(left, _REST))

    async def begin(self) -> None:
        """Take in what was there before this worker."""
        before: list[tuple[float, int, Key]] = []
        for number, entry in enumerate(tuple(self._registry.collection(self._kind).scan())):
            left = seconds_left(entry.obj, self._ttl, utc_now())
            before.append((self._clock() + left, entry.revision, (entry.namespace, entry.name)))
            if number % _FEW == _FEW - 1:
                await asyncio.sleep(0)
        since = self._due
        self._due = OrderedDict((key, (due, revision)) for due, revision, key in sorted(before) if key not in since)
        self._due.update(since)

    async def sweep(self) -> None:
        """Remove everything that is due."""
        while batch := self._taken():
            await asyncio.gather(*(self._remove(key, revision) for key, revision in batch))

    def _taken(self) -> list[tuple[Key, int]]:
        """Some of what is due, which is held no more."""
        found: list[tuple[Key, int]] = []
        while self._due and len(found) < _AT_ONCE:
            key, (due, revision) = next(iter(self._due.items()))
            if due > self._clock():
                break
            del self._due[key]
            found.append((key, revision))
        return found

    async def _remove(self, key: Key, revision: int) -> None:
        entry = self._registry.collection(self._kind).get(*key)
        if entry is None or entry.revision != revision:
            return
        try:
            await self._registry.expire(self._kind, entry)
        except Mismatch:
            # Written in this very moment: it has been queued anew.
            return
        except (errors.ApiError, StoreError) as error:
            log.warning("%s %s/%s is over and could not be removed: %s", self._kind.plural, *key, error)
            # Where it was written while it could not be removed, it has been queued anew.
            if key not in self._due:
                self._due[key] = (self._clock() + _LATER, revision)
                self._due.move_to_end(key, last=False)

    def _changed(self, event: Event) -> None:
        subject = event.new or event.old
        assert subject is not None
        key = subject.namespace, subject.name
        self._due.pop(key, None)
        if event.new is not None:
            self._due[key] = (self._clock() + self._ttl, event.revision)

"""Events for people: what a component did to an object and why, repeated ones counted instead of repeated.

Follows client-go's recorder: core/v1 Events, the same again patched with a growing `count`, those that differ in their
message alone told as one from the tenth on, a burst of 25 an object and source refilled one each five minutes; writing
never holds up the caller, and takes no more than a share of the time, so that what the events tell of comes first when
there is much of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from apimachinery import errors, formats
from apimachinery.client import Client, PatchType
from apimachinery.kinds import EVENT
from apimachinery.objects import Obj, dumps, reference
from apimachinery.timestamps import format_time, now

log = logging.getLogger(__name__)

_K = TypeVar("_K")
_V = TypeVar("_V")

QUEUE_LIMIT = 1000
REMEMBERED = 4096
BURST = 25.0
REFILL_PER_SECOND = 1 / 300
SIMILAR = 10
"""so many messages of one object, type and reason, each within SIMILAR_SECONDS of the last, are one from then on"""
SIMILAR_SECONDS = 600.0
COMBINED = "(combined from similar events): "
TRIES = 3
# A write is followed by a rest this many times as long: 60 events a second while the API server takes 4 ms for one.
REST = 3.0
LONGEST_REST = 0.25


@dataclass
class _Bucket:
    """A token bucket: how many events one object may still cause."""

    tokens: float = BURST
    filled: float = field(default_factory=time.monotonic)

    def take(self, moment: float) -> bool:
        self.tokens = min(BURST, self.tokens + (moment - self.filled) * REFILL_PER_SECOND)
        self.filled = moment
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class _Seen:
    """An event that was written already."""

    name: str
    count: int
    first: str


@dataclass
class _Similar:
    """What was said of one object, of one type and for one reason: the messages' hashes."""

    messages: set[int] = field(default_factory=set)
    last: float = field(default_factory=time.monotonic)

    def combines(self, message: str, moment: float) -> bool:
        """Whether there are too many messages by now for each to be an event."""
        if moment - self.last > SIMILAR_SECONDS:
            self.messages.clear()
        self.last = moment
        self.messages.add(hash(message))
        if len(self.messages) < SIMILAR:
            return False
        self.messages.pop()
        return True


@dataclass(frozen=True)
class _Entry:
    involved: bytes
    obj: Obj
    kind: str
    reason: str
    message: str
    moment: datetime


class EventRecorder:
    """Writes events as `component` (on `host`, for a node's daemons)."""

    def __init__(
        self, client: Client, component: str, host: str = "", speaks: Callable[[], bool] = lambda: True
    ) -> None:
        """`speaks`: while it says no, events are dropped: another process sees what this one does, and tells it."""
        self._client = client
        self._speaks = speaks
        self._source = {"component": component, **({"host": host} if host else {})}
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue(QUEUE_LIMIT)
        self._seen: OrderedDict[tuple[bytes, str, str, str], _Seen] = OrderedDict()
        self._similar: OrderedDict[tuple[bytes, str, str], _Similar] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def event(self, obj: Obj, kind: str, reason: str, message: str) -> None:
        """Tell that something happened to `obj`; `kind` is Normal or Warning. Never blocks.

        `obj` needs apiVersion, kind and metadata, or may itself be an ObjectReference.
        """
        if not self._speaks():
            return
        involved = obj if "metadata" not in obj else reference(obj)
        entry = _Entry(dumps(involved), involved, kind, reason, message, now())
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            log.warning("event dropped, too many wait: %s %s", reason, message)

    async def run(self) -> None:
        """Write what is queued, for ever."""
        while True:
            entry = await self._queue.get()
            begun = time.monotonic()
            try:
                await self._write(entry)
            except (errors.ApiError, errors.Unreachable) as error:
                log.warning("event %s %r not written: %s", entry.reason, entry.message, error)
            await asyncio.sleep(min(LONGEST_REST, REST * (time.monotonic() - begun)))

    async def _write(self, entry: _Entry) -> None:
        # resourceVersion moves on with every change of the object; the event is the same.
        same = str(entry.obj.get("uid") or entry.involved.decode()).encode()
        entry, place = self._combined(entry, (same, entry.kind, entry.reason))
        bucket = self._buckets.setdefault(str(same), _Bucket())
        self._buckets.move_to_end(str(same))
        _trim(self._buckets)
        if not bucket.take(time.monotonic()):
            return
        seen = self._seen.get(place)
        for attempt in range(TRIES):
            try:
                self._seen[place] = await self._send(entry, seen)
                self._seen.move_to_end(place)
                _trim(self._seen)
                return
            except errors.NotFound:
                # Events expire; a namespace that is gone takes its events with it.
                if seen is None:
                    raise
                seen = None
            except errors.Unreachable:
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(0.2 * 2**attempt)

    def _combined(self, entry: _Entry, about: tuple[bytes, str, str]) -> tuple[_Entry, tuple[bytes, str, str, str]]:
        """What is to be written, and what it is counted as."""
        similar = self._similar.setdefault(about, _Similar())
        self._similar.move_to_end(about)
        _trim(self._similar)
        if similar.combines(entry.message, time.monotonic()):
            return replace(entry, message=COMBINED + entry.message), (*about, COMBINED)
        # Of two containers the same may be said.
        return entry, (*about, f"{entry.obj.get('fieldPath', '')} {entry.message}")

    async def _send(self, entry: _Entry, seen: _Seen | None) -> _Seen:
        space = str(entry.obj.get("namespace") or "default")
        moment = format_time(entry.moment)
        if seen is not None:
            patch = {"count": seen.count + 1, "lastTimestamp": moment, "message": entry.message[:1024]}
            await self._client.patch(EVENT, seen.name, patch, space, patch_type=PatchType.STRATEGIC)
            return _Seen(seen.name, seen.count + 1, seen.first)
        involved_name = str(entry.obj.get("name") or "")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": _event_name(involved_name), "namespace": space},
            "involvedObject": entry.obj,
            "reason": entry.reason,
            "message": entry.message[:1024],
            "source": self._source,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "type": entry.kind,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }
        await self._client.create(EVENT, event, space)
        return _Seen(str(event["metadata"]["name"]), 1, moment)  # type: ignore[index]


def _event_name(involved: str) -> str:
    """Of the object's name and the moment; where that makes none (names may have 253 characters), any unique one."""
    name = f"{involved}.{time.time_ns():x}"
    return str(uuid.uuid4()) if formats.dns1123_subdomain(name) else name


def _trim(cache: OrderedDict[_K, _V]) -> None:
    while len(cache) > REMEMBERED:
        cache.popitem(last=False)

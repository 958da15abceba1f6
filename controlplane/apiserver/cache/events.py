"""One change as watchers see it: its type depends on the watcher's selection, its bytes do not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from apimachinery.kinds import Kind
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.cache.select import Selection
from controlplane.apiserver.offloop import LARGE, beside_loop, off_loop

if TYPE_CHECKING:
    from controlplane.apiserver.encoding import Format

ADDED, MODIFIED, DELETED, BOOKMARK, ERROR = "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"


class Shows(Protocol):
    """What a version of a custom resource says of an object that is stored."""

    def ready(self, entry: Entry) -> bool:
        """Whether it is to be shown as it is stored."""

    async def shown(self, entries: Sequence[Entry]) -> list[Entry]:
        """How it is to be shown. Raises ApiError."""


class Event:
    """new None: deleted; old None: created. Both set: changed."""

    __slots__ = ("_frames", "_gone", "kind", "new", "old", "revision")

    def __init__(self, kind: Kind, revision: int, old: Entry | None, new: Entry | None) -> None:
        self.kind = kind
        self.revision = revision
        self.old = old
        self.new = new
        self._gone: Entry | None = None
        # None while nobody asks: most events are history, and many.
        self._frames: dict[tuple[str, str, str, bool], Frame] | None = None

    def type_for(self, selection: Selection) -> str:
        """How this change looks through a selection; "" when it does not concern it."""
        was = self.old is not None and selection.matches(self.old)
        now = self.new is not None and selection.matches(self.new)
        if now:
            return MODIFIED if was else ADDED
        return DELETED if was else ""

    def frame(
        self, type: str, kind: Kind, format: Format | None, first: bool = False, custom: Shows | None = None
    ) -> Frame:
        """The event's bytes in one version and encoding, made once; first matters to formats alone. custom: the version
        of a custom resource that is to be shown.
        """
        key = (type, kind.api_version, "" if format is None else format.key, first and format is not None)
        frames = self._frames = self._frames or {}
        found = frames.get(key)
        if found is None:
            found = frames[key] = _frame(type, kind, self._subject(type), format, first, custom)
        return found

    def made(self, type: str, kind: Kind, format: Format | None, first: bool, custom: Shows | None = None) -> Frame:
        """The same for one who is alone in asking: nothing is kept."""
        return _frame(type, kind, self._subject(type), format, first, custom)

    def hidden(self, custom: Shows) -> bool:
        """Whether what it is about is stored in another way than it is to be shown."""
        return not all(custom.ready(entry) for entry in (self.old, self.new) if entry is not None)

    def judged(self, selection: Selection, kind: Kind, format: Format | None, first: bool, custom: Shows) -> Later:
        """The frame of an event that has to be shown before anybody can say whether a selection is about it; empty when
        it is not.
        """
        subject = self.new or self.old
        assert subject is not None
        return Later(len(subject.wire), partial(_judged, self, selection, kind, format, first, custom))

    def forget_frames(self) -> None:
        self._frames = None
        self._gone = None

    def _subject(self, type: str) -> Entry:
        if type != DELETED:
            assert self.new is not None
            return self.new
        # A watcher is told the last state it could see, under the revision that took it away.
        if self._gone is None:
            assert self.old is not None
            self._gone = self.old.at(self.revision)
        return self._gone


class Later:
    """The bytes of an event that take long to make: made once somebody waits for them, for all."""

    def __init__(self, size: int, make: Callable[[], Awaitable[bytes]]) -> None:
        """size: about how many bytes they will be."""
        self.size = size
        self._make = make
        self._making: asyncio.Future[bytes] | None = None

    async def bytes(self) -> bytes:
        if self._making is None:
            self._making = asyncio.ensure_future(self._make())
        return await asyncio.shield(self._making)


Frame = bytes | Later


def _frame(type: str, kind: Kind, entry: Entry, format: Format | None, first: bool, custom: Shows | None) -> Frame:
    if custom is not None and not custom.ready(entry):
        return Later(len(entry.wire), partial(_shown, type, kind, entry, format, first, custom))
    if format is None:
        return b'{"type":"%s","object":%s}\n' % (type.encode(), entry.wire)
    if len(entry.wire) >= LARGE:
        return Later(len(entry.wire), partial(beside_loop, _encoded, type, kind, entry, format, first))
    return _encoded(type, kind, entry, format, first)


async def _judged(
    event: Event, selection: Selection, kind: Kind, format: Format | None, first: bool, custom: Shows
) -> bytes:
    there = [entry for entry in (event.old, event.new) if entry is not None]
    seen = dict(zip(map(id, there), await custom.shown(there), strict=True))
    old, new = (seen[id(entry)] if entry is not None else None for entry in (event.old, event.new))
    shown = Event(kind, event.revision, old, new)
    type = shown.type_for(selection)
    if not type:
        return b""
    subject = shown._subject(type)
    if format is None:
        return b'{"type":"%s","object":%s}\n' % (type.encode(), subject.wire)
    return await off_loop(len(subject.wire), _encoded, type, kind, subject, format, first)


async def _shown(type: str, kind: Kind, entry: Entry, format: Format | None, first: bool, custom: Shows) -> bytes:
    """Of what is stored in another way than it is to be shown."""
    (seen,) = await custom.shown((entry,))
    if format is None:
        return b'{"type":"%s","object":%s}\n' % (type.encode(), seen.wire)
    return await off_loop(len(seen.wire), _encoded, type, kind, seen, format, first)


def _encoded(type: str, kind: Kind, entry: Entry, format: Format, first: bool) -> bytes:
    entry.read_beside_others()
    return format.event(type, kind, entry.obj, first)

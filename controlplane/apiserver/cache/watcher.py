"""One watching client's queue: filled by the collection, emptied by the connection, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from apimachinery.kinds import Kind
from controlplane.apiserver.cache.events import Event, Frame, Later, Shows
from controlplane.apiserver.cache.select import Selection

if TYPE_CHECKING:
    from controlplane.apiserver.encoding import Format

# Frames, and bytes of them, that a client may lag behind. They are shared: the bound is about what is kept alive.
QUEUE_LIMIT = 4096
QUEUE_BYTES = 16 << 20
# Bytes given to the connection at a time of what a client has missed: so much is a client's own, not shared.
_PIECE = 64 << 10


class Watcher:
    """Use next() until it returns None; then .overrun says whether the client was too slow."""

    def __init__(self, kind: Kind, selection: Selection, format: Format | None, custom: Shows | None = None) -> None:
        # The version of the kind that the client watches; it need not be the stored one.
        self.kind = kind
        self.selection = selection
        self.format = format
        self._custom = custom
        self._plain = selection.plain
        self.overrun = False
        self.revision = 0
        self._known = 0
        # What happened before the watch began, made into bytes only as the client takes it.
        self._backlog: Iterator[Frame] | None = None
        self._frames: deque[Frame] = deque()
        self._queued = 0
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._first = True

    @property
    def group(self) -> tuple[str, str, str]:
        s = self.selection
        return s.namespace, s.name, s.node

    @property
    def seeking(self) -> Selection:
        """What it has to look at."""
        return self.selection if self._custom is None else self.selection.wide

    def know(self, revision: int) -> None:
        """The client knows what happened up to here, which may be more than this server does so far."""
        self.revision = self._known = revision

    def knows(self, revision: int) -> bool:
        """Whether the client knew everything up to a revision when it came, so that it is to be told nothing of it."""
        return revision < self._known

    def begin(self, missed: Iterable[Event]) -> None:
        """Send these first, piece by piece; they may be many, and are shared with others until then."""
        backlog = self._told(missed)
        first = next(backlog, None)
        self._backlog = None if first is None else chain((first,), backlog)

    def _told(self, missed: Iterable[Event]) -> Iterator[Frame]:
        for event in missed:
            if self._unseen(event):
                yield self._judged(event)
            elif type := event.type_for(self.selection):
                first, self._first = self._first, False
                yield event.made(type, self.kind, self.format, first, self._custom)

    def offer(self, event: Event) -> None:
        """Queue an event if it concerns this client. Never blocks, never raises."""
        if self._closed or event.revision <= self._known:
            return
        self.revision = event.revision
        if self._plain:
            self.push(event, "MODIFIED" if event.new and event.old else ("ADDED" if event.new else "DELETED"))
            return
        type = event.type_for(self.selection)
        if self._unseen(event):
            self.push_frame(self._judged(event))
        elif type:
            self.push(event, type)

    def _unseen(self, event: Event) -> bool:
        """Whether its fields can be selected by only once it is shown."""
        return bool(self.selection.fields) and self._custom is not None and event.hidden(self._custom)

    def _judged(self, event: Event) -> Frame:
        assert self._custom is not None
        # Whether it is the first that is sent nobody knows: columns twice are better than none.
        return event.judged(self.selection, self.kind, self.format, True, self._custom)

    def push(self, event: Event, type: str) -> None:
        self.push_frame(event.frame(type, self.kind, self.format, self._first, self._custom))

    def push_frame(self, frame: Frame) -> None:
        self._first = False
        self._frames.append(frame)
        self._queued += frame.size if isinstance(frame, Later) else len(frame)
        if len(self._frames) > QUEUE_LIMIT or (self._queued > QUEUE_BYTES and len(self._frames) > 1):
            self.outrun()
        else:
            self._wake()

    @property
    def first(self) -> bool:
        """Nothing has been queued yet."""
        return self._first

    def close(self) -> None:
        self._closed = True
        self._wake()

    def outrun(self) -> None:
        """End it: what it would be told next is not known, or more than is kept for it."""
        self.overrun = True
        self._frames.clear()
        self._backlog = None
        self.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self, timeout: float) -> bytes | None:
        """A piece of what was missed, or all that is queued; b"" after timeout seconds of silence; None when closed and
        drained.
        """
        if self._backlog is not None and (piece := await self._piece(self._backlog)):
            return piece
        if not self._frames and not self._closed:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(timeout, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        if self._frames:
            if len(self._frames) == 1:
                frame = self._frames.popleft()
                self._queued = 0
                return frame if isinstance(frame, bytes) else await frame.bytes()
            frames = list(self._frames)
            self._frames.clear()
            self._queued = 0
            return b"".join([await frame.bytes() if isinstance(frame, Later) else frame for frame in frames])
        return None if self._closed else b""

    @property
    def catching_up(self) -> bool:
        """There is more of what was missed."""
        return self._backlog is not None

    async def _piece(self, backlog: Iterator[Frame]) -> bytes:
        made, size = [], 0
        for frame in backlog:
            made.append(await frame.bytes() if isinstance(frame, Later) else frame)
            size += len(made[-1])
            if size >= _PIECE:
                return b"".join(made)
        self._backlog = None
        return b"".join(made)

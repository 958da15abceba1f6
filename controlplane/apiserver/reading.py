"""get, list and watch: answered from the cache, in the bytes that are already there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence

import orjson

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver import defaults, listing, measures, pages, router
from controlplane.apiserver.cache.collection import Collection
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.cache.events import BOOKMARK, ERROR, Event
from controlplane.apiserver.cache.watcher import Watcher
from controlplane.apiserver.encoding import Format, Negotiate
from controlplane.apiserver.formats.media import JSON
from controlplane.apiserver.listing import ListOptions
from controlplane.apiserver.offloop import LARGE, off_loop
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.request import Request, Response, Shared, Socket

_BOOKMARK_EVERY = 60.0
_MIN_WATCH = 1800
# How long one list may be encoded before others have their turn.
_TURN_SECONDS = 0.005
# Entries of a list that are put together at a time: some 100 KB of pods.
_FEW = 32
_END_MARK = {"k8s.io/initial-events-end": "true"}


class Reading:
    """The generic handlers of get, list and watch for every kind."""

    def __init__(self, registry: Registry, negotiate: Negotiate) -> None:
        self._registry = registry
        self._negotiate = negotiate

    async def get(self, request: Request) -> Response:
        kind = request.served
        format = self._negotiate(request)
        if text := request.param("resourceVersion"):
            await pages.reach(self._registry, listing.revision(text, listed=False))
        else:
            await self._registry.fresh()
        found = self._registry.entry(kind, request.space, request.name)
        (entry,) = await self._registry.shown(kind, (found,))
        return await one(kind, entry, 200, format)

    async def learn(self, request: Request) -> None:
        """Another server may have told of a kind already that is not known here yet: wait until it is, and set it."""
        if self._registry.shared:
            await self._registry.fresh()
            found = router.locate(request.catalog, request.method, request.path, request.query)
            request.kind = found.kind

    async def list(self, request: Request) -> Response:
        kind = request.served
        format = self._negotiate(request)
        options = listing.parse(request, watch=False)
        entries, metadata = await pages.page(self._registry, kind, options, await listing.selection(request))
        return await many(kind, entries, metadata, format)

    # --- watch ---

    async def watch(self, request: Request) -> Response:
        kind = request.served
        format = self._negotiate(request)
        options = listing.parse(request, watch=True)
        selection = await listing.selection(request)
        collection = self._registry.collection(kind)
        if options.revision is None:
            await self._registry.fresh()
        watcher = Watcher(kind, selection, format, request.catalog.of(kind).custom)
        failure = self._begin(collection, watcher, options)
        stream = format.stream_type if format else JSON
        # Over a WebSocket each event is a message of its own.
        socket = Socket(format.messages if format else bytes.splitlines, text=stream == JSON)
        return Response(200, self._stream(collection, watcher, options, failure), stream, socket=socket)

    def _begin(self, collection: Collection, watcher: Watcher, options: ListOptions) -> Obj | None:
        """Queue what the client has missed and attach, in one step of the loop; or the ERROR to end with."""
        at = self._registry.cache.revision
        replay = bool(options.revision) and not options.initial_events
        if replay:
            assert options.revision is not None
            if options.revision < collection.horizon:
                text = f"too old resource version: {options.revision} ({collection.horizon})"
                return errors.Expired(text).status()
            watcher.begin(collection.since(options.revision))
        elif options.initial_events is not False:
            there = collection.select(watcher.seeking)
            watcher.begin(Event(collection.kind, entry.revision, None, entry) for entry in there)
        watcher.know(max(at, options.revision or 0))
        if options.initial_events and options.bookmarks:
            watcher.push_frame(bookmark(watcher, at, _END_MARK))
        collection.attach(watcher)
        return None

    async def _stream(
        self, collection: Collection, watcher: Watcher, options: ListOptions, failure: Obj | None
    ) -> AsyncIterator[bytes]:
        if failure is not None:
            yield error_frame(watcher, failure)
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + (options.timeout or _MIN_WATCH * (1 + random.random()))
        mark = loop.time() + _BOOKMARK_EVERY
        serving = measures.WATCHERS.labels(collection.kind.resource)
        serving.inc()
        try:
            # The first bytes of an answer are its headers: a client must see the watch accepted at once.
            yield b""
            while (left := end - loop.time()) > 0:
                wait = min(left, mark - loop.time()) if options.bookmarks else left
                try:
                    frames = await watcher.next(max(wait, 0.0))
                except errors.ApiError as error:
                    # Nobody says how the object looks in this version.
                    yield error_frame(watcher, error.status())
                    return
                if frames is None:
                    break
                if frames:
                    yield frames
                if watcher.catching_up:
                    # A client that takes all of it at once must not have the loop for itself.
                    await asyncio.sleep(0)
                if options.bookmarks and loop.time() >= mark:
                    mark = loop.time() + _BOOKMARK_EVERY
                    if not watcher.knows(at := self._registry.cache.revision):
                        # In its turn: of what it vouches for, some may still wait to be sent.
                        watcher.push_frame(bookmark(watcher, at))
            if watcher.overrun:
                text = f"too old resource version: {watcher.revision} ({self._registry.cache.revision})"
                yield error_frame(watcher, errors.Expired(text).status())
        finally:
            serving.dec()
            collection.detach(watcher)


def bookmark(watcher: Watcher, revision: int, annotations: Obj | None = None) -> bytes:
    """A BOOKMARK frame: an empty object of the kind with nothing but a revision."""
    kind = watcher.kind
    metadata: Obj = {"resourceVersion": str(revision)}
    if annotations:
        metadata["annotations"] = annotations
    obj = {**defaults.blank(kind.api_version, kind.kind), "metadata": metadata}
    return _frame(watcher, BOOKMARK, obj)


def error_frame(watcher: Watcher, status: Obj) -> bytes:
    return _frame(watcher, ERROR, status)


def _frame(watcher: Watcher, type: str, obj: Obj) -> bytes:
    if watcher.format is not None:
        return watcher.format.event(type, watcher.kind, obj, watcher.first)
    return b'{"type":"%s","object":%s}\n' % (type.encode(), orjson.dumps(obj))


async def one(kind: Kind, entry: Entry, status: int, format: Format | None, warnings: tuple[str, ...] = ()) -> Response:
    """One object in the asked encoding."""
    if format is None:
        return Response(status, entry.wire, warnings=warnings)
    body = await off_loop(len(entry.wire), _encoded, kind, entry, format)
    return Response(status, body, format.content_type, warnings=warnings)


def _encoded(kind: Kind, entry: Entry, format: Format) -> bytes:
    entry.read_beside_others()
    return format.one(kind, entry.obj)


async def many(kind: Kind, entries: Sequence[Entry], metadata: Obj, format: Format | None) -> Response:
    """A list in the asked encoding; plain JSON is stitched from stored bytes."""
    if format is None:
        return _as_stored(kind, entries, metadata)
    pieces = format.many(kind, (entry.obj for entry in entries), metadata)
    largest = max((len(entry.wire) for entry in entries), default=0)
    body = await (_joined(pieces) if largest < LARGE else off_loop(largest, b"".join, pieces))
    return Response(200, body, format.content_type)


def _as_stored(kind: Kind, entries: Sequence[Entry], metadata: Obj) -> Response:
    if kind.stored_version:
        metadata = {"continue": "", **metadata}
    head = b'{"kind":"%s","apiVersion":"%s","metadata":%s,"items":[' % (
        kind.list_kind.encode(),
        kind.api_version.encode(),
        orjson.dumps(metadata),
    )
    if not entries:
        return Response(200, head + b"]}")
    skip, opening = (0, b"") if entries[0].versioned else (len(entries[0].head), b"{")
    if len(entries) < _FEW:
        parts = [memoryview(entry.wire)[skip:] for entry in entries]
        return Response(200, b"".join((head, opening, (b"," + opening).join(parts), b"]}")))
    each = len(opening) + 1 - skip
    size = len(head) + sum(len(entry.wire) for entry in entries) + len(entries) * each - 1 + 2
    return Response(200, Shared(size, lambda: _stitched(head, entries, skip, opening)))


def _stitched(head: bytes, entries: Sequence[Entry], skip: int, opening: bytes) -> Iterator[bytes]:
    """A list of stored bytes, some entries at a time."""
    before = head + opening
    for start in range(0, len(entries), _FEW):
        parts = [memoryview(entry.wire)[skip:] for entry in entries[start : start + _FEW]]
        last = b"]}" if start + _FEW >= len(entries) else b""
        yield b"".join((before, (b"," + opening).join(parts), last))
        before = b"," + opening


async def _joined(pieces: Iterator[bytes]) -> bytes:
    """All pieces; making them lets others have their turn now and then."""
    out, clock = [], asyncio.get_running_loop().time
    pause = clock() + _TURN_SECONDS
    for piece in pieces:
        out.append(piece)
        if clock() > pause:
            await asyncio.sleep(0)
            pause = clock() + _TURN_SECONDS
    return b"".join(out)

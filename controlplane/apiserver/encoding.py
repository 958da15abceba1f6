"""What an answer may be encoded in, as the core asks for it: the formats themselves are `formats/`'s."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import orjson

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.formats.media import JSON
from controlplane.apiserver.request import Request


class Format(Protocol):
    """An encoding other than plain JSON, chosen by the Accept header.

    Equal keys give equal bytes for equal objects: an event is encoded once per key and shared by its watchers.
    one answers a get; many a list, by pieces (some of them empty) made one at a time as they are taken, since an item
    may take a while; event is one whole frame of a watch (newline or length prefix included), where first says that it
    is the first of its stream (a Table sends its columns then). Objects are shared: never changed.
    messages takes frames apart again, without what delimits them.
    items of many() and obj of event() are as they are stored, and carry apiVersion and kind; kind is the version asked
    for. metadata of many() is the ListMeta. event() with type ERROR is given a Status, with BOOKMARK an object of the
    kind with metadata.resourceVersion alone.
    """

    @property
    def key(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def stream_type(self) -> str: ...
    def one(self, kind: Kind | None, obj: Obj) -> bytes: ...
    def many(self, kind: Kind, items: Iterable[Obj], metadata: Obj) -> Iterator[bytes]: ...
    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes: ...
    def messages(self, frames: bytes) -> Sequence[bytes]: ...


# None: plain JSON of the version that is stored, which the core serves from stored bytes. Raises NotAcceptable.
Negotiate = Callable[[Request], "Format | None"]


def encoded(format: Format | None, kind: Kind | None, obj: Obj) -> tuple[bytes, str]:
    """An object that is kept nowhere as bytes, and the media type of what it is now."""
    if format is None:
        return orjson.dumps(obj), JSON
    return format.one(kind, obj), format.content_type

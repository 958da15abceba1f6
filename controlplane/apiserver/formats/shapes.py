"""The shapes of an answer: objects whole, as a Table, or their metadata alone, each in one of the encodings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.encoding import Format
from controlplane.apiserver.formats.encodings import Encoding, Json
from controlplane.apiserver.formats.media import PROTOBUF
from controlplane.apiserver.tables import render
from controlplane.apiserver.tables.plain import NAME_AND_BIRTH
from controlplane.apiserver.tables.spec import Table
from controlplane.apiserver.tables.workloads import SCALE

Clock = Callable[[], datetime]
PLAIN = Json()
META_VERSIONS = ("meta.k8s.io/v1", "meta.k8s.io/v1beta1")


@dataclass(frozen=True)
class _Encoded:
    encoding: Encoding = PLAIN

    @property
    def content_type(self) -> str:
        return self.encoding.media

    @property
    def stream_type(self) -> str:
        return self.encoding.stream_type

    def messages(self, frames: bytes) -> Sequence[bytes]:
        return self.encoding.messages(frames)


@dataclass(frozen=True)
class WholeFormat(_Encoded):
    """Objects as they are. In plain JSON the core sends stored bytes instead. Items of a list
    say what they are where they are custom resources.
    """

    @property
    def key(self) -> str:
        return self.encoding.key

    def one(self, kind: Kind | None, obj: Obj) -> bytes:
        return self.encoding.document(obj)

    def many(self, kind: Kind, items: Iterable[Obj], metadata: Obj) -> Iterator[bytes]:
        metadata = {"continue": "", **metadata} if kind.stored_version else metadata
        head = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata}
        # A message has no room for the type of an item, but is chosen by it.
        listed = items if kind.stored_version or self.encoding.media == PROTOBUF else map(_bare, items)
        return self.encoding.listed(head, listed, "items")

    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes:
        return self.encoding.frame(type, obj)


def _bare(item: Obj) -> Obj:
    return {k: v for k, v in item.items() if k not in ("apiVersion", "kind")}


def _made(encoding: Encoding, head: Obj, items: Iterator[Obj], member: str) -> Iterator[bytes]:
    """A list that upstream makes of another's items: there is none before it has an item."""
    first = next(items, None)
    if first is None:
        return iter((encoding.document({**head, member: None}),))
    return encoding.listed(head, chain((first,), items), member)


def _is_scale(obj: Obj) -> bool:
    """Of what carries its kind itself, a Scale alone has the shapes that stored objects have."""
    return obj.get("kind") == "Scale"


@dataclass(frozen=True)
class TableFormat(_Encoded):
    """`as=Table`: rows of cells, as `table` says; `include` says how much of each object rides along, `shown` in which
    version; `scale` how a Scale looks.
    """

    table: Table = NAME_AND_BIRTH
    include: str = "Metadata"
    version: str = render.META
    clock: Clock = render.utc_now
    shown: Callable[[Obj], Obj] | None = None
    scale: Table = SCALE

    @property
    def key(self) -> str:
        return f"{self.encoding.key}:table:{self.include}:{self.version}"

    def one(self, kind: Kind | None, obj: Obj) -> bytes:
        if kind is None and not _is_scale(obj):
            return self.encoding.document(obj)
        shown = self if kind is not None else replace(self, table=self.scale)
        return self.encoding.document(shown._table([obj], render.single_metadata(obj)))

    def many(self, kind: Kind, items: Iterable[Obj], metadata: Obj) -> Iterator[bytes]:
        head = self._table([], metadata)
        del head["rows"]
        now = self.clock()
        rows = (render.row(self.table, item, now, self.include, self.version, self.shown) for item in items)
        if self.table is NAME_AND_BIRTH:  # upstream's own, of kinds that have none
            return _made(self.encoding, head, rows, "rows")
        return self.encoding.listed(head, rows, "rows")

    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes:
        if type == "ERROR":
            return self.encoding.frame(type, obj)
        items = [] if type == "BOOKMARK" else [obj]
        return self.encoding.frame(type, self._table(items, render.single_metadata(obj), columns=first))

    def _table(self, items: list[Obj], metadata: Obj, columns: bool = True) -> Obj:
        how = (self.include, columns, self.version, self.shown)
        return render.render(self.table, items, metadata, self.clock(), *how)


@dataclass(frozen=True)
class MetadataFormat(_Encoded):
    """`as=PartialObjectMetadata` and its list: metadata alone."""

    version: str = render.META

    @property
    def key(self) -> str:
        return f"{self.encoding.key}:metadata:{self.version}"

    def one(self, kind: Kind | None, obj: Obj) -> bytes:
        whole = kind is None and not _is_scale(obj)
        return self.encoding.document(obj if whole else render.partial(obj, self.version))

    def many(self, kind: Kind, items: Iterable[Obj], metadata: Obj) -> Iterator[bytes]:
        head = {"kind": "PartialObjectMetadataList", "apiVersion": self.version, "metadata": metadata}
        return _made(self.encoding, head, (render.partial(item, self.version) for item in items), "items")

    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes:
        return self.encoding.frame(type, obj if type == "ERROR" else render.partial(obj, self.version))


@dataclass(frozen=True)
class Converted:
    """Another format's bytes of objects that are stored under another version than the one asked for."""

    format: Format
    shown: Callable[[Obj], Obj]

    @property
    def key(self) -> str:
        return self.format.key

    @property
    def content_type(self) -> str:
        return self.format.content_type

    @property
    def stream_type(self) -> str:
        return self.format.stream_type

    def one(self, kind: Kind | None, obj: Obj) -> bytes:
        return self.format.one(kind, self._seen(kind, obj))

    def many(self, kind: Kind, items: Iterable[Obj], metadata: Obj) -> Iterator[bytes]:
        return self.format.many(kind, (self._seen(kind, item) for item in items), metadata)

    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes:
        return self.format.event(type, kind, obj if type == "ERROR" else self._seen(kind, obj), first)

    def messages(self, frames: bytes) -> Sequence[bytes]:
        return self.format.messages(frames)

    def _seen(self, kind: Kind | None, obj: Obj) -> Obj:
        return obj if kind is None or obj["apiVersion"] == kind.api_version else self.shown(obj)

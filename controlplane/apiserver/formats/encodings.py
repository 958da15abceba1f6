"""The encodings: each turns shared objects into bytes for a get, a list and an event of a watch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from apimachinery import protobuf
from apimachinery.errors import NotAcceptable
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, dumps
from controlplane.apiserver.tables import render

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
Clock = Callable[[], datetime]


def _frame(type: str, obj: Obj) -> bytes:
    return dumps({"type": type, "object": obj}) + b"\n"


@dataclass(frozen=True)
class TableFormat:
    """`as=Table`: rows of cells; `include` says how much of each object rides along."""

    include: str = "Metadata"
    clock: Clock = render.utc_now
    content_type: str = JSON
    stream_type: str = JSON

    @property
    def key(self) -> str:
        return f"table:{self.include}"

    @property
    def as_stored(self) -> bool:
        return self.include != "Object"

    def one(self, kind: Kind | None, obj: Obj) -> bytes:
        if kind is None:
            return dumps(obj)
        return dumps(render.render(kind, [obj], render.single_metadata(obj), self.clock(), self.include))

    def many(self, kind: Kind, items: Sequence[Obj], metadata: Obj) -> bytes:
        return dumps(render.render(kind, items, metadata, self.clock(), self.include))

    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes:
        if type == "ERROR":
            return _frame(type, obj)
        metadata = render.single_metadata(obj)
        items = [] if type == "BOOKMARK" else [obj]
        return _frame(type, render.render(kind, items, metadata, self.clock(), self.include, columns=first))


@dataclass(frozen=True)
class MetadataFormat:
    """`as=PartialObjectMetadata` and its list: metadata alone."""

    version: str = render.META
    content_type: str = JSON
    stream_type: str = JSON

    @property
    def key(self) -> str:
        return f"metadata:{self.version}"

    @property
    def as_stored(self) -> bool:
        return True

    def one(self, kind: Kind | None, obj: Obj) -> bytes:
        return dumps(obj if kind is None else render.partial(obj, self.version))

    def many(self, kind: Kind, items: Sequence[Obj], metadata: Obj) -> bytes:
        return dumps(render.partial_list(items, metadata, self.version))

    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes:
        return _frame(type, obj if type == "ERROR" else render.partial(obj, self.version))


@dataclass(frozen=True)
class YamlFormat:
    """YAML by way of JSON, which is YAML already (YAML 1.2, section 1.3)."""

    content_type: str = YAML
    stream_type: str = YAML
    key: str = "yaml"
    as_stored: bool = False

    def one(self, kind: Kind | None, obj: Obj) -> bytes:
        return dumps(obj) + b"\n"

    def many(self, kind: Kind, items: Sequence[Obj], metadata: Obj) -> bytes:
        bare = [{k: v for k, v in item.items() if k not in ("apiVersion", "kind")} for item in items]
        return dumps({"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata, "items": bare})

    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes:
        return b"---\n" + _frame(type, obj)


@dataclass(frozen=True)
class ProtobufFormat:
    """`application/vnd.kubernetes.protobuf`: objects in the envelope, watch events as length-prefixed WatchEvents."""

    content_type: str = PROTOBUF
    stream_type: str = f"{PROTOBUF};stream=watch"
    key: str = "protobuf"
    as_stored: bool = False

    def one(self, kind: Kind | None, obj: Obj) -> bytes:
        return _message(obj)

    def many(self, kind: Kind, items: Sequence[Obj], metadata: Obj) -> bytes:
        listed = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata, "items": list(items)}
        return _message(listed)

    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes:
        # WatchEvent { string type = 1; RawExtension object = 2; }, RawExtension { bytes raw = 1; }
        raw = _delimited(0x0A, _message(obj))
        body = _delimited(0x0A, type.encode()) + _delimited(0x12, raw)
        return len(body).to_bytes(4, "big") + body


def _message(obj: Obj) -> bytes:
    try:
        return protobuf.encode(obj)
    except protobuf.ProtobufError as error:
        raise NotAcceptable(str(error)) from error


def _delimited(tag: int, data: bytes) -> bytes:
    size, length = bytearray(), len(data)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes((tag,)) + bytes(size) + data

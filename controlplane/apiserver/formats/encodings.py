"""The encodings: an object's JSON value as bytes, alone, as a list by pieces and as a frame of a watch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from apimachinery import protobuf, yamltext
from apimachinery.errors import NotAcceptable
from apimachinery.objects import Obj, dumps
from apimachinery.protobuf.varint import varint
from controlplane.apiserver.formats.media import JSON, PROTOBUF, YAML


class Encoding(Protocol):
    """document is one object, listed a list whose items come one by one: its pieces, some of them empty, so that
    whoever sends them can let others work between two. frame is one whole event of a watch, messages takes several
    apart again, without what delimits them.
    """

    @property
    def media(self) -> str: ...
    @property
    def stream_type(self) -> str: ...
    @property
    def key(self) -> str: ...
    def document(self, obj: Obj) -> bytes: ...
    def listed(self, head: Obj, items: Iterable[Obj], member: str) -> Iterator[bytes]: ...
    def frame(self, type: str, obj: Obj) -> bytes: ...
    def messages(self, frames: bytes) -> Sequence[bytes]: ...


@dataclass(frozen=True)
class Json:
    """pretty: indented by two, for people."""

    pretty: bool = False
    media: str = JSON
    stream_type: str = JSON

    @property
    def key(self) -> str:
        return "json-pretty" if self.pretty else "json"

    def document(self, obj: Obj) -> bytes:
        return orjson.dumps(obj, option=orjson.OPT_INDENT_2) if self.pretty else dumps(obj)

    def listed(self, head: Obj, items: Iterable[Obj], member: str) -> Iterator[bytes]:
        opening, between, indented, closing = (
            (b',\n  "%s": [', b",", b"\n    ", b"\n  ]\n}") if self.pretty else (b',"%s":[', b",", b"", b"]}")
        )
        yield self.document(head).removesuffix(b"}").rstrip(b"\n") + opening % member.encode()
        empty = True
        for item in items:
            text = self.document(item)
            if self.pretty:
                # A line break inside of a string is written \n: all that are bytes are the layout's.
                text = text.replace(b"\n", b"\n    ")
            yield (b"" if empty else between) + indented + text
            empty = False
        yield b"]\n}" if empty and self.pretty else closing

    def frame(self, type: str, obj: Obj) -> bytes:
        return dumps({"type": type, "object": obj}) + b"\n"

    def messages(self, frames: bytes) -> Sequence[bytes]:
        return frames.splitlines()


@dataclass(frozen=True)
class Yaml:
    media: str = YAML
    stream_type: str = YAML
    key: str = "yaml"

    def document(self, obj: Obj) -> bytes:
        return yamltext.dumps(obj)

    def listed(self, head: Obj, items: Iterable[Obj], member: str) -> Iterator[bytes]:
        """Keys in order, as in any of our YAML; the items are a block of their own among them."""
        names = sorted((*head, member))
        for name in names:
            if name != member:
                yield yamltext.dumps({name: head[name]})
                continue
            empty = True
            for item in items:
                yield (member.encode() + b":\n" if empty else b"") + yamltext.dumps([item])
                empty = False
            if empty:
                yield member.encode() + b": []\n"

    def frame(self, type: str, obj: Obj) -> bytes:
        raise NotAcceptable("YAML has no streamed form")

    def messages(self, frames: bytes) -> Sequence[bytes]:
        return ()


@dataclass(frozen=True)
class Protobuf:
    """`application/vnd.kubernetes.protobuf`: objects in the envelope, watch events as length-prefixed WatchEvents."""

    media: str = PROTOBUF
    stream_type: str = f"{PROTOBUF};stream=watch"
    key: str = "protobuf"

    def document(self, obj: Obj) -> bytes:
        with _as_refusal():
            return protobuf.encode(obj)

    def listed(self, head: Obj, items: Iterable[Obj], member: str) -> Iterator[bytes]:
        encoded = []
        for item in items:
            with _as_refusal():
                encoded.append(protobuf.encode_item(item))
            yield b""
        yield protobuf.encode_list(head["apiVersion"], head["kind"], head["metadata"], encoded)

    def frame(self, type: str, obj: Obj) -> bytes:
        # WatchEvent { string type = 1; RawExtension object = 2; }, RawExtension { bytes raw = 1; }
        raw = _delimited(0x0A, self.document(obj))
        body = _delimited(0x0A, type.encode()) + _delimited(0x12, raw)
        return len(body).to_bytes(4, "big") + body

    def messages(self, frames: bytes) -> Sequence[bytes]:
        found, at = [], 0
        while at < len(frames):
            end = at + 4 + int.from_bytes(frames[at : at + 4], "big")
            found.append(frames[at + 4 : end])
            at = end
        return found


def _delimited(tag: int, data: bytes) -> bytes:
    return bytes((tag,)) + varint(len(data)) + data


@contextlib.contextmanager
def _as_refusal() -> Iterator[None]:
    """A kind without a message cannot be sent in this encoding."""
    try:
        yield
    except protobuf.ProtobufError as error:
        raise NotAcceptable(str(error)) from error

"""The envelope around every object: the magic bytes and `runtime.Unknown`, which names the kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.data import wire_fields
from apimachinery.protobuf import encoding
from apimachinery.protobuf.decoding import MAGIC, decode, is_protobuf
from apimachinery.protobuf.varint import UnknownKind, varint

__all__ = ["MAGIC", "decode", "encode", "encode_item", "encode_list", "encode_raw", "is_protobuf"]


def encode(obj: dict[str, Any]) -> bytes:
    """The envelope of an object; raises ProtobufError for a kind that has no message (Table, custom
    resources)."""
    api_version, kind = obj.get("apiVersion") or "", obj.get("kind") or ""
    return _envelope(api_version, kind, encoding.message(_message_of(api_version, kind), obj))


def encode_item(obj: dict[str, Any]) -> bytes:
    """An object as one of the items that encode_list takes; raises ProtobufError."""
    raw = encoding.message(_message_of(obj.get("apiVersion") or "", obj.get("kind") or ""), obj)
    return b"\x12" + varint(len(raw)) + raw


def encode_list(api_version: str, kind: str, metadata: dict[str, Any], items: Iterable[bytes]) -> bytes:
    """The envelope of a list of encoded items: every list has its ListMeta as field 1 and its items as field 2."""
    meta = encoding.message("meta.v1.ListMeta", metadata)
    return _envelope(api_version, kind, b"".join((b"\x0a", varint(len(meta)), meta, *items)))


def _message_of(api_version: str, kind: str) -> str:
    message = wire_fields.of_kind(api_version, kind)
    if message is None:
        raise UnknownKind(api_version, kind)
    return message


def encode_raw(api_version: str, kind: str, raw: bytes, content_type: str = "") -> bytes:
    """An envelope around bytes of another form, as watch events of kinds without a message have it."""
    return _envelope(api_version, kind, raw, content_type)


def _envelope(api_version: str, kind: str, raw: bytes, content_type: str = "") -> bytes:
    named = _text(b"\x0a", api_version) + _text(b"\x12", kind)
    return MAGIC + b"".join(
        (
            b"\x0a" + varint(len(named)) + named,
            b"\x12" + varint(len(raw)) + raw,
            b"\x1a\x00",
            _text(b"\x22", content_type),
        )
    )


def _text(head: bytes, text: str) -> bytes:
    data = text.encode()
    return head + varint(len(data)) + data

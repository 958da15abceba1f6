"""The envelope around every object: the magic bytes and `runtime.Unknown`, which names the kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery.data import fields
from apimachinery.protobuf import decoding, encoding, special
from apimachinery.protobuf.varint import ProtobufError, varint

__all__ = ["MAGIC", "decode", "encode", "encode_item", "encode_list", "encode_raw", "is_protobuf"]

MAGIC = b"k8s\x00"
NO_MAGIC = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"


def is_protobuf(body: bytes) -> bool:
    return body[:4] == MAGIC


def decode(body: bytes, api_version: str = "", kind: str = "") -> dict[str, Any]:
    """The object in an envelope, with its apiVersion and kind first.

    The two arguments name what is expected where the envelope does not say. Raises ProtobufError for
    anything else.
    """
    if not is_protobuf(body):
        raise ProtobufError(NO_MAGIC)
    parts = special.scan(body[4:])
    named = special.scan(_bytes(parts.get(1)))
    api_version = _bytes(named.get(1)).decode("utf-8", "replace") or api_version
    kind = _bytes(named.get(2)).decode("utf-8", "replace") or kind
    message = fields.of_kind(api_version, kind)
    if message is None:
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')
    result: dict[str, Any] = {"apiVersion": api_version, "kind": kind}
    try:
        return decoding.message(message, _bytes(parts.get(2)), result)
    except RecursionError:
        raise ProtobufError("proto: message nested too deeply") from None


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


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
    message = fields.of_kind(api_version, kind)
    if message is None:
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')
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

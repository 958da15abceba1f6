"""A reader for the few protobuf messages of containerd's event service, which CRI's stubs do not hold.

Field numbers: containerd `api/services/events/v1/events.proto` and `api/events/{task,container}.proto`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


class WireError(Exception):
    """The bytes are not a protobuf message."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("truncated varint")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value): integers for varints, bytes for everything with a length or a fixed width."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise WireError(f"wire type {kind}")
        if at + size > len(data):
            raise WireError("truncated field")
        yield number, data[at : at + size]
        at += size


def _text(value: int | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


@dataclass(frozen=True)
class Envelope:
    """containerd.types.Envelope, reduced to what the agent reads."""

    namespace: str
    topic: str
    container_id: str
    exec_id: str

    @classmethod
    def decode(cls, data: bytes) -> Envelope:
        outer = dict(fields(data))
        payload = b""
        wrapped = outer.get(4, b"")
        if isinstance(wrapped, bytes):
            payload = next((v for n, v in fields(wrapped) if n == 2 and isinstance(v, bytes)), b"")
        inner = {n: v for n, v in fields(payload) if n in (1, 2)}
        topic = _text(outer.get(3, b""))
        return cls(
            namespace=_text(outer.get(2, b"")),
            topic=topic,
            container_id=_text(inner.get(1, b"")),
            exec_id=_text(inner.get(2, b"")) if topic in ("/tasks/exit", "/tasks/delete") else "",
        )


def subscribe_request(filters: tuple[str, ...]) -> bytes:
    """SubscribeRequest{repeated string filters = 1}."""
    return b"".join(encode_text(1, each) for each in filters)


def encode_text(number: int, text: str) -> bytes:
    """One string field."""
    return encode_bytes(number, text.encode())


def encode_bytes(number: int, data: bytes) -> bytes:
    """One field of bytes, or a message that is bytes already."""
    return _encode_varint(number << 3 | 2) + _encode_varint(len(data)) + data


def encode_number(number: int, value: int) -> bytes:
    """One field of a whole number, not negative."""
    return _encode_varint(number << 3) + _encode_varint(value)


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

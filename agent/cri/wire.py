"""Protobuf by field numbers, for the few messages that CRI's stubs do not hold: containerd's own, those of gRPC's
health protocol, of plugins that register, of DRA drivers and device plugins, and of who asks for pods' devices.

Here, too, those of containerd's event service. Field numbers: containerd `api/services/events/v1/events.proto` and
`api/events/{task,container}.proto`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Fields = Iterable[tuple[int, int | bytes]]


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


def bytes_of(found: Fields, number: int) -> list[bytes]:
    """Every value of a field that is bytes, a text or a message."""
    return [value for which, value in found if which == number and isinstance(value, bytes)]


def texts_of(found: Fields, number: int) -> tuple[str, ...]:
    """Every text of a field."""
    return tuple(value.decode("utf-8", "replace") for value in bytes_of(found, number))


def text_of(found: Fields, number: int) -> str:
    """The text of a field, of several the last; "" where it is not there."""
    return (texts_of(found, number) or ("",))[-1]


@dataclass(frozen=True)
class Envelope:
    """containerd.types.Envelope, reduced to what the agent reads."""

    namespace: str
    topic: str
    container_id: str
    exec_id: str

    @classmethod
    def decode(cls, data: bytes) -> Envelope:
        outer = list(fields(data))
        event = b"".join(bytes_of(outer, 4)[-1:])
        payload = list(fields(b"".join(bytes_of(fields(event), 2)[:1])))
        topic = text_of(outer, 3)
        return cls(
            namespace=text_of(outer, 2),
            topic=topic,
            container_id=text_of(payload, 1),
            exec_id=text_of(payload, 2) if topic in ("/tasks/exit", "/tasks/delete") else "",
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

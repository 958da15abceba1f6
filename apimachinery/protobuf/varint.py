"""Numbers and tags on the wire (Protocol Buffers encoding, version 2)."""

from __future__ import annotations

import struct

__all__ = ["ProtobufError", "read_varint", "signed", "skip", "tag", "varint", "write_signed"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
END = "unexpected EOF"


class ProtobufError(ValueError):
    """The bytes are no message; the message is upstream's."""


class UnknownKind(ProtobufError):
    """An envelope of a kind that has no message."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(f'no kind "{kind}" is registered for version "{api_version}"')
        self.api_version, self.kind = api_version, kind


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where the next thing begins."""
    try:
        byte = data[at]
        if byte < 128:
            return byte, at + 1
        value, shift = byte & 127, 7
        while True:
            at += 1
            byte = data[at]
            value |= (byte & 127) << shift
            if byte < 128:
                return value & 0xFFFFFFFFFFFFFFFF, at + 1
            shift += 7
            if shift > 63:
                raise ProtobufError("proto: integer overflow")
    except IndexError:
        raise ProtobufError(END) from None


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def varint(value: int) -> bytes:
    """The bytes of a number that is not negative."""
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_signed(value: int) -> bytes:
    return varint(value & 0xFFFFFFFFFFFFFFFF)


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def skip(data: bytes, at: int, wire_type: int, end: int) -> int:
    """Where the next field begins, past a value nobody knows."""
    if wire_type == VARINT:
        return read_varint(data, at)[1]
    if wire_type == BYTES:
        length, at = read_varint(data, at)
        at += length
    elif wire_type in (FIXED64, FIXED32):
        at += 8 if wire_type == FIXED64 else 4
    else:
        raise ProtobufError(f"proto: illegal wireType {wire_type}")
    if at > end:
        raise ProtobufError(END)
    return at


def read_double(data: bytes, at: int) -> float:
    if at + 8 > len(data):
        raise ProtobufError(END)
    value: float = struct.unpack_from("<d", data, at)[0]
    return value


def write_double(value: float) -> bytes:
    return struct.pack("<d", value)

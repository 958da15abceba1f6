"""Packing and reading netlink messages: headers, attributes, acknowledgements. Pure functions over bytes.

Sources: netlink(7), rtnetlink(7), linux/netlink.h, linux/rtnetlink.h. Numbers are in the machine's byte order
except addresses, ports and the like, which callers hand over as bytes already in network order.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_ECHO = 0x1, 0x2, 0x4, 0x8
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLA_F_NESTED = 0x8000
NLMSGERR_ATTR_MSG = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
HEADER_SIZE = _HEADER.size


class NetlinkError(OSError):
    """The kernel refused a request. `errno` is the kernel's; `asked` says what was asked, `detail` the
    kernel's own words.
    """

    def __init__(self, code: int, asked: str, detail: str = "") -> None:
        text = f"{asked}: {os.strerror(code)}" + (f" ({detail})" if detail else "")
        super().__init__(code, text)
        self.asked = asked
        self.detail = detail


@dataclass(frozen=True)
class Request:
    """One message to send: `asked` is its meaning in words, for errors; `ignore` lists errnos that mean
    "already so".
    """

    type: int
    flags: int
    payload: bytes
    asked: str
    ignore: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reply:
    """One received message without its header."""

    type: int
    flags: int
    sequence: int
    payload: bytes


def attribute(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + b"\0" * (-size & 3)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=B", value))


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def attributes(payload: bytes, offset: int = 0) -> dict[int, bytes]:
    """Attributes by type (nesting and byte-order flags stripped); a repeated type keeps its last value."""
    return dict(every_attribute(payload, offset))


def every_attribute(payload: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each attribute, as `attributes`; those of a repeated type, too."""
    end = len(payload)
    while offset + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(payload, offset)
        if size < 4 or offset + size > end:
            return
        yield kind & 0x3FFF, payload[offset + 4 : offset + size]
        offset += (size + 3) & ~3


def as_text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode(errors="replace")


def as_int(value: bytes) -> int:
    return int.from_bytes(value, "little" if struct.pack("=H", 1) == b"\1\0" else "big")


def message(request: Request, sequence: int, extra_flags: int) -> bytes:
    size = HEADER_SIZE + len(request.payload)
    flags = request.flags | NLM_F_REQUEST | extra_flags
    header = _HEADER.pack(size, request.type, flags, sequence, 0)
    return header + request.payload + b"\0" * (-size & 3)


def replies(data: bytes) -> Iterator[Reply]:
    offset = 0
    while offset + HEADER_SIZE <= len(data):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if size < HEADER_SIZE or offset + size > len(data):
            raise ValueError(f"netlink message of {size} bytes in a datagram of {len(data)} at {offset}")
        yield Reply(kind, flags, sequence, data[offset + HEADER_SIZE : offset + size])
        offset += (size + 3) & ~3


def error_of(reply: Reply) -> tuple[int, str]:
    """(errno, the kernel's explanation) of an NLMSG_ERROR; errno 0 is an acknowledgement."""
    code = -int(struct.unpack_from("=i", reply.payload)[0])
    if not reply.flags & NLM_F_ACK_TLVS:
        return code, ""
    asked_size = struct.unpack_from("=I", reply.payload, 4)[0]
    start = 4 + (HEADER_SIZE if reply.flags & NLM_F_CAPPED else (asked_size + 3) & ~3)
    return code, as_text(attributes(reply.payload, start).get(NLMSGERR_ATTR_MSG, b""))

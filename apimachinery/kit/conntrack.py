"""The kernel's connection tracking: flows listed and removed, in packets packed by hand (nfnetlink_conntrack.h)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NETLINK_NETFILTER = 12
_CT_NEW, _CT_GET, _CT_DELETE = 0x100, 0x101, 0x102
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 1, 4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NESTED = 0x8000

Target = tuple[str, int]
"""(address, port)"""


@dataclass(frozen=True, slots=True)
class Flow:
    """One tracked connection: what the client sent to, who answers, and the raw tuple that names it."""

    protocol: int
    destination: Target
    answering: Target
    tuple_bytes: bytes


class Tracking:
    """One address family's flows (AF_INET, AF_INET6) in this thread's network namespace; blocks. Raises OSError."""

    def __init__(self, family: int) -> None:
        self._family = family
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        self._socket.settimeout(5)
        self._socket.bind((0, 0))

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def flows(self) -> list[Flow]:
        """Every tracked flow that has ports."""
        return list(self._dump())

    def delete(self, flow: Flow) -> bool:
        """Whether the flow was still there."""
        body = struct.pack("=HH", 4 + len(flow.tuple_bytes), 1 | _NESTED) + flow.tuple_bytes
        self._send(_CT_DELETE, _NLM_F_ACK, body)
        return any(
            kind == _NLMSG_ERROR and struct.unpack_from("=i", body)[0] == 0
            for kind, body in _messages(self._socket.recv(1 << 16))
        )

    def _dump(self) -> Iterator[Flow]:
        self._send(_CT_GET, _NLM_F_DUMP)
        while True:
            for kind, body in _messages(self._socket.recv(1 << 17)):
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    raise OSError(code, "connection tracking cannot be listed")
                flow = parse_flow(body[4:], self._family)
                if flow:
                    yield flow

    def _send(self, kind: int, flags: int, body: bytes = b"") -> None:
        payload = struct.pack("=BBH", self._family, 0, 0) + body
        self._socket.send(struct.pack("=IHHII", 16 + len(payload), kind, _NLM_F_REQUEST | flags, 1, 0) + payload)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        yield kind, data[offset + 16 : offset + length]
        offset += max((length + 3) & ~3, 16)


def parse_flow(data: bytes, family: int) -> Flow | None:
    """A conntrack message's attributes to a Flow; None when it has no ports. `family`: AF_INET or AF_INET6."""
    attributes = _attributes(data)
    original, reply = attributes.get(1, b""), attributes.get(2, b"")
    sent, answered = _attributes(original), _attributes(reply)
    sent_ports, answered_ports = _attributes(sent.get(2, b"")), _attributes(answered.get(2, b""))
    if 3 not in sent_ports or 2 not in answered_ports or 1 not in sent_ports:
        return None
    source, destination = (1, 2) if family == socket.AF_INET else (3, 4)
    return Flow(
        protocol=sent_ports[1][0],
        destination=(
            socket.inet_ntop(family, _attributes(sent.get(1, b""))[destination]),
            int.from_bytes(sent_ports[3], "big"),
        ),
        answering=(
            socket.inet_ntop(family, _attributes(answered.get(1, b""))[source]),
            int.from_bytes(answered_ports[2], "big"),
        ),
        tuple_bytes=original,
    )


def _attributes(data: bytes) -> dict[int, bytes]:
    result: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        result[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return result

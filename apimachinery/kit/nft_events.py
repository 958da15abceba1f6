"""Nftables change notifications: bytes from a netlink socket in, one summary per transaction out.

Iptables' nft back end is seen through them too. The message layout is the kernel's uapi
linux/netfilter/nf_tables.h; every transaction ends with a NEWGEN message which carries the name of the task that
made it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.kit import netns as namespaces

_NETLINK_NETFILTER, _NFNLGRP_NFTABLES, _SO_RCVBUFFORCE = 12, 7, 33
_SUBSYS_NFTABLES = 10
_DELTABLE = 2
_DELCHAIN = 5
_DELRULE = 8
_DELSET, _DELSETELEM = 11, 14
_NEWGEN = 15
_TASK_NAME = 3
_TABLE_ATTRIBUTE = 1
_CHAIN_ATTRIBUTE = {_DELCHAIN: 3, _DELRULE: 2}


@dataclass
class Transaction:
    """What one transaction deleted. Tables as (family, name), chains as (family, table, chain)."""

    owner: str = ""
    deleted_tables: set[tuple[int, str]] = field(default_factory=set)
    lost_tables: set[tuple[int, str]] = field(default_factory=set)
    """tables deleted, or tables which lost a chain, a rule, a set or an element"""
    lost_chains: set[tuple[int, str, str]] = field(default_factory=set)
    """chains deleted, or chains which lost a rule"""


class EventReader:
    """Feeds on datagrams and yields each finished transaction; a transaction may span datagrams."""

    def __init__(self) -> None:
        self._current = Transaction()

    def feed(self, data: bytes) -> Iterator[Transaction]:
        """`data`: one datagram, netlink messages one after the other. Unknown messages are skipped."""
        offset = 0
        while offset + 20 <= len(data):
            length, kind, _, _, _, family = struct.unpack_from("=IHHIIB", data, offset)
            if length < 20:
                return
            if kind >> 8 == _SUBSYS_NFTABLES:
                attributes = dict(_attributes(data[offset + 20 : offset + length]))
                if kind & 0xFF == _NEWGEN:
                    self._current.owner = _text(attributes.get(_TASK_NAME, b""))
                    yield self._current
                    self._current = Transaction()
                else:
                    self._note(kind & 0xFF, family, attributes)
            offset += (length + 3) & ~3

    def _note(self, kind: int, family: int, attributes: dict[int, bytes]) -> None:
        table = _text(attributes.get(_TABLE_ATTRIBUTE, b""))
        if kind == _DELTABLE:
            self._current.deleted_tables.add((family, table))
        if kind in (_DELTABLE, _DELCHAIN, _DELRULE, _DELSET, _DELSETELEM):
            self._current.lost_tables.add((family, table))
        if kind in (_DELCHAIN, _DELRULE):
            chain = _text(attributes.get(_CHAIN_ATTRIBUTE[kind], b""))
            self._current.lost_chains.add((family, table, chain))


def open_socket(netns: Path | None = None) -> socket.socket:
    """A non-blocking netlink socket of the namespace (None: this one) which receives the notifications."""

    def make() -> socket.socket:
        handle = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        with contextlib.suppress(OSError):
            handle.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 23)
        handle.bind((0, 1 << (_NFNLGRP_NFTABLES - 1)))
        handle.setblocking(False)
        return handle

    return make() if netns is None else namespaces.call(netns, make)


async def transactions(events: socket.socket) -> AsyncIterator[Transaction | None]:
    """Every transaction from now on; None where the kernel dropped notifications. Closes the socket at the end."""
    reader, readable = EventReader(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(events.fileno(), readable.set)
    try:
        while True:
            try:
                data = events.recv(1 << 16)
            except BlockingIOError:
                readable.clear()
                await readable.wait()
            except OSError:
                # ENOBUFS: too much changed at once; a half-read transaction is worthless.
                reader = EventReader()
                yield None
            else:
                for transaction in reader.feed(data):
                    yield transaction
    finally:
        loop.remove_reader(events.fileno())
        events.close()


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")

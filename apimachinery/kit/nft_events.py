"""Nftables change notifications: bytes from a netlink socket in, one summary per transaction out.

Iptables' nft back end is seen through them too. The message layout is the kernel's uapi
linux/netfilter/nf_tables.h; every transaction ends with a NEWGEN message which carries the name of the task that
made it.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.kit.netlink import events

_NETLINK_NETFILTER, _NFNLGRP_NFTABLES = 12, 7
_SUBSYS_NFTABLES = 10
_DELTABLE = 2
_NEWCHAIN, _DELCHAIN = 3, 5
_NEWRULE, _DELRULE = 6, 8
_NEWGEN = 15
_TASK_NAME = 3
_TABLE_ATTRIBUTE = 1
_CHAIN_ATTRIBUTE = {_NEWCHAIN: 3, _DELCHAIN: 3, _NEWRULE: 2, _DELRULE: 2}


@dataclass
class Transaction:
    """What one transaction changed. Tables as (family, name), chains as (family, table, chain)."""

    owner: str = ""
    """the name of the task that made it, at most 15 characters"""
    touched_tables: set[tuple[int, str]] = field(default_factory=set)
    """tables in which anything at all was made, changed or deleted, or that were themselves"""
    deleted_tables: set[tuple[int, str]] = field(default_factory=set)
    touched_chains: set[tuple[int, str, str]] = field(default_factory=set)
    """chains made or deleted, or to which a rule came or from which one went"""
    lost_chains: set[tuple[int, str, str]] = field(default_factory=set)
    """chains deleted, or chains which lost a rule"""
    unread: list[tuple[bytes, int, int]] = field(default_factory=list, repr=False)
    """what `read` has still to take in: datagrams, and where it stands in them"""

    def read(self) -> Transaction:
        """This one, with all that it changed."""
        unread, self.unread = self.unread, []
        for data, begin, end in unread:
            self._take_in(data[begin:end])
        return self

    def _take_in(self, data: bytes) -> None:
        for kind, offset, end in _messages(data):
            if kind >> 8 == _SUBSYS_NFTABLES:
                self._note(kind & 0xFF, data[offset + 16], dict(_attributes(data[offset + 20 : end])))

    def _note(self, kind: int, family: int, attributes: dict[int, bytes]) -> None:
        table = _text(attributes.get(_TABLE_ATTRIBUTE, b""))
        self.touched_tables.add((family, table))
        if kind == _DELTABLE:
            self.deleted_tables.add((family, table))
        if kind in _CHAIN_ATTRIBUTE:
            chain = (family, table, _text(attributes.get(_CHAIN_ATTRIBUTE[kind], b"")))
            self.touched_chains.add(chain)
            if kind in (_DELCHAIN, _DELRULE):
                self.lost_chains.add(chain)


class EventReader:
    """Feeds on datagrams and yields each finished transaction; a transaction may span datagrams.

    With `tables`, only what mentions one of these names is read: a stranger's thousands of rules cost little. What a
    task did whose name is among `later` is left `unread`: who made a transaction is told at its end, for which the rest
    waits. To read ten thousand elements or rules of one's own would cost more than to make them.
    """

    def __init__(self, tables: Collection[str] = (), later: Collection[str] = ()) -> None:
        self._words = tuple(name.encode() + b"\0" for name in tables)
        self._later = frozenset(later)
        self._current = Transaction()

    def feed(self, data: bytes) -> Iterator[Transaction]:
        """`data`: one datagram, netlink messages one after the other. Unknown messages are skipped."""
        mentioned = not self._words or any(word in data for word in self._words)
        begin = 0
        for kind, offset, end in _messages(data):
            if kind != _SUBSYS_NFTABLES << 8 | _NEWGEN:
                continue
            if mentioned:
                self._keep(data, begin, offset)
            yield self._finished(_text(dict(_attributes(data[offset + 20 : end])).get(_TASK_NAME, b"")))
            begin = (end + 3) & ~3
        if mentioned:
            self._keep(data, begin, len(data))

    def _keep(self, data: bytes, begin: int, end: int) -> None:
        if begin < end:
            self._current.unread.append((data, begin, end))
            if not self._later:
                self._current.read()

    def _finished(self, owner: str) -> Transaction:
        finished, self._current = self._current, Transaction()
        finished.owner = owner
        return finished if owner in self._later else finished.read()


class Listener:
    """Receives the notifications of a namespace (None: this one). What happened elsewhere than in `tables` (none:
    everywhere) may be left out of transactions; those of the tasks called as in `later` are unread. Transactions of the
    socket with the port `own_port` are not told at all."""

    def __init__(
        self,
        netns: Path | None = None,
        tables: Collection[str] = (),
        later: Collection[str] = (),
        own_port: int | None = None,
    ) -> None:
        self._socket = events.subscribe(_NETLINK_NETFILTER, (_NFNLGRP_NFTABLES,), netns)
        self.passes_over_own = False
        """whether the kernel does so; one that cannot tells of them, and they are known by the task's name alone"""
        if own_port is not None:
            with contextlib.suppress(OSError):
                events.leave_out(self._socket, own_port)
                self.passes_over_own = True
        self._read_for = (tables, later)
        self._reader = EventReader(*self._read_for)

    def drain(self) -> Iterator[Transaction | None]:
        """Every finished transaction that has been told by now; None where the kernel dropped notifications."""
        while True:
            try:
                data = events.receive(self._socket)
            except BlockingIOError:
                return
            if data is None:
                # What still waits came before the loss, and the end of its transaction may be what was lost: read on,
                # it would be taken for a part of the next one.
                events.discard(self._socket)
                self._reader = EventReader(*self._read_for)
                yield None
            else:
                yield from self._reader.feed(data)

    async def wait(self) -> None:
        """Return when there is something to drain."""
        await events.readable(self._socket)

    async def transactions(self) -> AsyncIterator[Transaction | None]:
        """What `drain` gives, from now on for ever."""
        while True:
            await self.wait()
            for transaction in self.drain():
                yield transaction

    def close(self) -> None:
        """Receive no more."""
        self._socket.close()


def _messages(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(type, where it begins, where it ends) of each netlink message."""
    offset = 0
    while offset + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 20:
            return
        yield kind, offset, offset + length
        offset += (length + 3) & ~3


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

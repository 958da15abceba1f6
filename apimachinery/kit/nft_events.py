"""Reading nftables change notifications: bytes from a netlink socket in, one summary per transaction out.

Pure. The message layout is the kernel's uapi linux/netfilter/nf_tables.h; every transaction ends with a
NEWGEN message which carries the name of the task that made it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_SUBSYS_NFTABLES = 10
_NEWTABLE, _DELTABLE = 0, 2
_NEWCHAIN, _DELCHAIN = 3, 5
_DELRULE = 8
_DELSET, _DELSETELEM = 11, 14
_NEWGEN = 15
_TASK_NAME = 3
_TABLE_ATTRIBUTE = 1
_CHAIN_ATTRIBUTE = {_NEWCHAIN: 3, _DELCHAIN: 3, _DELRULE: 2}


@dataclass
class Transaction:
    """What one transaction created or deleted. Tables as (family, name), chains as (family, table, chain)."""

    owner: str = ""
    new_tables: set[tuple[int, str]] = field(default_factory=set)
    lost_tables: set[tuple[int, str]] = field(default_factory=set)
    """tables deleted, or tables which lost a chain, a rule, a set or an element"""
    lost_chains: set[tuple[int, str, str]] = field(default_factory=set)
    """chains deleted, or chains which lost a rule"""


class EventReader:
    """Feeds on datagrams and yields each finished transaction; a transaction may span datagrams."""

    def __init__(self) -> None:
        self._current = Transaction()

    def reset(self) -> None:
        """Forget a half-read transaction, after the kernel dropped notifications."""
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
        if kind == _NEWTABLE:
            self._current.new_tables.add((family, table))
        elif kind in (_DELTABLE, _DELCHAIN, _DELRULE, _DELSET, _DELSETELEM):
            self._current.lost_tables.add((family, table))
        if kind in (_DELCHAIN, _DELRULE):
            chain = _text(attributes.get(_CHAIN_ATTRIBUTE[kind], b""))
            self._current.lost_chains.add((family, table, chain))


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

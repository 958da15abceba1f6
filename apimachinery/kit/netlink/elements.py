"""Elements for sets and maps of nftables, a table asked for or taken away, packed by hand. Pure; `Netlink` sends them.

For what comes by the ten thousand: libnftables reads the same as text, for which it takes several times as long as the
kernel does to insert it. The kernel compares lengths alone: that the parts are what a set was declared with is the
caller's to know. Linux 6.1 and 6.18 were seen to take the same as from libnftables.

Source: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h; nft(8) for how keys of several parts are laid out.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import repeat
from socket import AF_INET6, AF_UNSPEC, inet_aton, inet_pton

from apimachinery.kit.netlink import wire
from apimachinery.kit.netlink.wire import Request

NETFILTER = 12
"""the protocol for `Netlink`"""
_NF_TABLES = 10
_BEGIN, _END = 16, 17
_GET_TABLE, _DELETE_TABLE, _NEW_ELEMENTS, _DELETE_ELEMENTS = (_NF_TABLES << 8 | number for number in (1, 2, 12, 14))
_TABLE, _SET, _ELEMENTS = 1, 2, 3
_ITEM, _KEY, _DATA = 1, 1, 2
_VALUE, _VERDICT = 1, 2
_CODE, _CHAIN = 1, 2
_CODES = {"drop": 0, "goto": -4}
_MESSAGE_BYTES = 48 << 10
"""of elements in one message: an attribute has at most 64 KB, a host's default send buffer some 200"""

Part = Callable[[str], bytes]
"""reads one part of a key or of a value"""

ADDRESS: Mapping[int, Part] = {4: inet_aton, 6: partial(inet_pton, AF_INET6)}
"""by version of IP"""
# All parts are filled up to four bytes.
PROTOCOL: Part = {"tcp": b"\x06\0\0\0", "udp": b"\x11\0\0\0", "sctp": b"\x84\0\0\0"}.__getitem__


# Of these few differ, in however many elements.
@lru_cache(4096)
def port(text: str) -> bytes:
    """In network order."""
    return struct.pack(">H2x", int(text))


@lru_cache(1024)
def number(text: str) -> bytes:
    """32 bits in the machine's order."""
    return struct.pack("=I", int(text))


def add(
    family: int, table: str, name: str, key: Sequence[Part], value: Sequence[Part], pairs: Iterable[tuple[str, str]]
) -> Iterator[Request]:
    """Requests that put elements into a set or map; what it has already is no refusal.

    `family`: NFPROTO_IPV4 (2) or NFPROTO_IPV6 (10). A pair is key and data as nft writes them: parts with ` . ` between
    them. Without parts of a `value` the data is a verdict, `drop` or `goto CHAIN`, or empty where there is none.
    ValueError, KeyError or OSError for what cannot be read.
    """
    alike: dict[str, list[tuple[str, str]]] = {"": list(pairs)} if value else _by_data(pairs)
    for data, group in alike.items():
        items = list(_items(key, value, group, _verdict(data) if data else b""))
        for part in _messages(family, table, name, items):
            yield Request(_NEW_ELEMENTS, wire.NLM_F_CREATE, part, f"add elements to {table} {name}")


def remove(family: int, table: str, name: str, key: Sequence[Part], keys: Iterable[str]) -> Iterator[Request]:
    """Requests that take elements out of a set or map by their keys; one that is not there is refused. Otherwise as
    `add`."""
    items = list(_items(key, (), [(one, "") for one in keys], b""))
    for part in _messages(family, table, name, items):
        yield Request(_DELETE_ELEMENTS, 0, part, f"delete elements of {table} {name}")


def remove_table(family: int, name: str) -> Request:
    """A table with all that is in it; one that is not there is refused. `family`: as `add` has it."""
    return Request(_DELETE_TABLE, 0, _head(family, 0) + wire.text(_TABLE, name), f"delete the table {name}")


def get_table(family: int, name: str) -> Request:
    """Outside of a transaction; a table that is not there is refused. `family`: as `add` has it."""
    return Request(_GET_TABLE, 0, _head(family, 0) + wire.text(_TABLE, name), f"look for the table {name}")


def _messages(family: int, table: str, name: str, items: Sequence[bytes]) -> Iterator[bytes]:
    head = _of_set(family, table, name)
    at_once = _MESSAGE_BYTES // len(items[0]) if items else 1
    for start in range(0, len(items), at_once):
        yield head + wire.nested(_ELEMENTS, *items[start : start + at_once])


def _by_data(pairs: Iterable[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for pair in pairs:
        found[pair[1]].append(pair)
    return found


def _items(
    key: Sequence[Part], value: Sequence[Part], pairs: Sequence[tuple[str, str]], verdict: bytes
) -> Iterator[bytes]:
    """Column by column, which the interpreter does fast. All are of one size: what stands before each is the same."""
    keys = _columns(key, [name for name, _ in pairs])
    values = _columns(value, [data for _, data in pairs])
    size, value_size = (sum(len(column[0]) for column in columns if column) for columns in (keys, values))
    before, between = _frame(size, value_size if value else None, verdict)
    return map(b"".join, zip(repeat(before), *keys, repeat(between), *values))


# What is the same in all elements of a set: a change of one element has little else to pack.
@lru_cache(256)
def _frame(size: int, value_size: int | None, verdict: bytes) -> tuple[bytes, bytes]:
    """What stands before a key of so many bytes, and between it and data of so many (None: a verdict or nothing)."""
    key = wire.nested(_KEY, wire.attribute(_VALUE, bytes(size)))[:8]
    between = verdict if value_size is None else wire.nested(_DATA, wire.attribute(_VALUE, bytes(value_size)))[:8]
    return wire.nested(_ITEM, bytes(len(key) + size + len(between) + (value_size or 0)))[:4] + key, between


@lru_cache(256)
def _of_set(family: int, table: str, name: str) -> bytes:
    return _head(family, 0) + wire.text(_TABLE, table) + wire.text(_SET, name)


def _columns(parts: Sequence[Part], texts: Sequence[str]) -> list[list[bytes]]:
    words = " . ".join(texts).split(" . ") if parts and texts else []
    if len(words) != len(parts) * len(texts):
        raise ValueError(f"elements of other than {len(parts)} parts, such as {texts[0]!r}")
    return [list(map(part, words[place :: len(parts)])) for place, part in enumerate(parts)]


@lru_cache(1024)
def _verdict(text: str) -> bytes:
    word, _, chain = text.partition(" ")
    code = wire.attribute(_CODE, struct.pack(">i", _CODES[word]))
    return wire.nested(_DATA, wire.nested(_VERDICT, code, wire.text(_CHAIN, chain) if chain else b""))


def _head(family: int, resource: int) -> bytes:
    return struct.pack(">BBH", family, 0, resource)


BEGIN = Request(_BEGIN, 0, _head(AF_UNSPEC, _NF_TABLES), "begin a transaction of nftables")
END = Request(_END, 0, _head(AF_UNSPEC, _NF_TABLES), "end a transaction of nftables")
"""what stands around a transaction's requests"""

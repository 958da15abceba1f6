"""Answers by the bytes of their queries: the same question again costs no parsing. Pure but for its memory."""

from __future__ import annotations

from collections import OrderedDict

from netproxy.dns.directory import Key

_VARIANTS = 8
"""orders of one set of addresses, since most clients take the first"""


class Replies:
    """At most `limit` queries; the oldest goes first. Keys and values are without the message's id.

    Each answer has an owner, who says when it is true no more: a change of one Service costs its own answers alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[bytes, tuple[tuple[bytes, ...], Key | None]] = OrderedDict()
        self._owned: dict[Key | None, set[bytes]] = {}
        self._turn = 0

    def get(self, query: bytes) -> bytes | None:
        """The whole answer to a whole query, if it is known in all the orders it comes in."""
        found = self._known.get(query[2:])
        if found is None:
            return None
        variants = found[0]
        if len(variants) == 1:
            return query[:2] + variants[0]
        self._turn += 1
        return query[:2] + variants[self._turn % len(variants)]

    def put(self, query: bytes, answers: list[bytes], owner: Key | None) -> None:
        """Remember the answer, in each order. Without an owner any change ends it."""
        key = query[2:]
        self._known[key] = tuple(answer[2:] for answer in answers), owner
        self._owned.setdefault(owner, set()).add(key)
        if len(self._known) > self._limit:
            oldest, (_, its_owner) = self._known.popitem(last=False)
            self._owned[its_owner].discard(oldest)
            if not self._owned[its_owner]:
                del self._owned[its_owner]

    def forget(self, owner: Key) -> None:
        """Something of this owner changed: its answers, and those without an owner, are worked out anew."""
        for key in (*self._owned.pop(owner, ()), *self._owned.pop(None, ())):
            del self._known[key]


def orders(count: int) -> range:
    """How far to turn a set of `count` addresses for each variant."""
    return range(0, max(count, 1), max(1, -(-count // _VARIANTS)))

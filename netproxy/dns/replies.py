"""Answers by the bytes of their queries: the same question again costs no parsing. Pure but for its memory."""

from __future__ import annotations

from collections import OrderedDict

_VARIANTS = 8
"""orders of one set of addresses, since most clients take the first"""


class Replies:
    """At most `limit` queries; the longest unused goes first. Keys and values are without the message's id."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[bytes, tuple[bytes, ...]] = OrderedDict()
        self._turn = 0

    def get(self, query: bytes) -> bytes | None:
        """The whole answer to a whole query, if it is known in all the orders it comes in."""
        variants = self._known.get(query[2:])
        if variants is None:
            return None
        if len(variants) == 1:
            return query[:2] + variants[0]
        self._turn += 1
        return query[:2] + variants[self._turn % len(variants)]

    def put(self, query: bytes, answers: list[bytes]) -> None:
        """Remember the answer, in each order."""
        self._known[query[2:]] = tuple(answer[2:] for answer in answers)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Something changed: every answer is worked out anew."""
        self._known.clear()


def orders(count: int) -> range:
    """How far to turn a set of `count` addresses for each variant."""
    return range(0, max(count, 1), max(1, -(-count // _VARIANTS)))

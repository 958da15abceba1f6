"""Writes whose answer was lost: whether etcd took them is told by the watch, which sees every change of a key.

A write that expects a revision changes its key at most once, however often it is sent. So when it is refused the second
time, it was either the first that succeeded, and the watch has told of just this value, or somebody else was faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Doubt:
    """One write under way. at: the revision at which just that happened to its key, 0 for not (yet)."""

    def __init__(self, value: bytes | None) -> None:
        self.value = value
        self.at = 0


class Doubts:
    """All writes under way, by key."""

    def __init__(self) -> None:
        self._writes: dict[bytes, list[Doubt]] = {}

    @contextmanager
    def about(self, key: bytes, value: bytes | None) -> Iterator[Doubt]:
        """Follow a key from before a write is sent until it is answered; value None: a deletion."""
        doubt = Doubt(value)
        self._writes.setdefault(key, []).append(doubt)
        try:
            yield doubt
        finally:
            left = self._writes[key]
            left.remove(doubt)
            if not left:
                del self._writes[key]

    def saw(self, key: bytes, value: bytes | None, revision: int) -> None:
        """A change that the watch told of."""
        for doubt in self._writes.get(key, ()):
            if not doubt.at and doubt.value == value:
                doubt.at = revision

"""Writes whose answer was lost: whether etcd took them is told by the watch, which sees every change of a key.

A write that expects a revision changes its key at most once, however often it is sent. So when it is refused the second
time, it was either the first that succeeded, or somebody else was faster. What replaces an expected revision is the
next change of the key, and that one alone: it is this write, or this write was never done and never will be. A creation
(nothing is expected) can be done after others came and went; it is known by its value. A deletion has none: it leaves a
value of its own under a key of the store's, and is known by that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Doubt:
    """One write under way. at: the revision at which just that happened to its key, 0 for not (yet)."""

    def __init__(self, value: bytes, expect: int) -> None:
        self.value, self.expect = value, expect
        self.at = 0
        self._decided = False

    def saw(self, value: bytes | None, revision: int) -> None:
        """The next change of its key; value None: it was deleted."""
        if self._decided or revision <= self.expect:
            return
        if self.value == value:
            self.at = revision
        self._decided = bool(self.at or self.expect)


class Doubts:
    """All writes under way, by key."""

    def __init__(self) -> None:
        self._writes: dict[bytes, list[Doubt]] = {}

    @contextmanager
    def about(self, key: bytes, value: bytes, expect: int) -> Iterator[Doubt]:
        """Follow a key from before a write is sent until it is answered; expect: the revision that it replaces, 0 for
        none or any.
        """
        doubt = Doubt(value, expect)
        self._writes.setdefault(key, []).append(doubt)
        try:
            yield doubt
        finally:
            left = self._writes[key]
            left.remove(doubt)
            if not left:
                del self._writes[key]

    def saw(self, key: bytes, value: bytes | None, revision: int) -> None:
        """A change that is told, by the watch or because this server made it."""
        for doubt in self._writes.get(key, ()):
            doubt.saw(value, revision)

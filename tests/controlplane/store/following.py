"""Who follows a store in tests, and a layout that changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from controlplane.store import Change


class Told:
    """A follower that hands every batch on; missed: what it was given instead of changes that were compacted."""

    def __init__(self, deliver: Callable[[Sequence[Change]], Any] | None = None) -> None:
        self.changes: list[Change] = []
        self.missed: list[tuple[Sequence[Change], int]] = []
        self.revision = 0
        self._hand_on = deliver

    def deliver(self, batch: Sequence[Change]) -> None:
        self.changes += batch
        if self._hand_on is not None:
            self._hand_on(batch)

    def advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)

    def overtake(self, current: Sequence[Change], revision: int) -> None:
        self.missed.append((current, revision))


class Plain:
    """Keys and values as they are."""

    def place(self, key: str) -> str:
        return key

    def key(self, place: str) -> str | None:
        return place

    def outward(self, key: str, value: bytes) -> bytes:
        return value

    def inward(self, key: str, value: bytes) -> bytes:
        return value

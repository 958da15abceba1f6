"""Who claims which piece of a rule set, and what changed since the last commit.

Each owner (a Service port; a pod or a policy) claims pieces (a map element, a chain, a rule in a shared chain).
Several may claim the same one: the chain for "two endpoints" is everybody's, one external address may stand in two
Services. The smallest claimant wins, whatever the order in which they came, so that a change leads to the same rules
as a rebuild.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Owner(Protocol):
    """Who claims: anything with an order among its like, and a hash."""

    def __lt__(self, other: Any, /) -> bool: ...
    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Delta(Generic[K, V]):
    """The difference between the last commit and now; a replaced piece stands in both."""

    removed: Mapping[K, V]
    added: Mapping[K, V]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added)


class Ledger(Generic[K, V]):
    """Claims by owner. Values must not be None."""

    def __init__(self) -> None:
        self._pieces: dict[Owner, tuple[K, ...]] = {}
        self._winner: dict[K, tuple[Owner, V]] = {}
        self._others: dict[K, dict[Owner, V]] = {}
        self._before: dict[K, V | None] = {}

    def claim(self, owner: Owner, pieces: Sequence[tuple[K, V]]) -> None:
        """Replace all that `owner` claims; an empty sequence gives everything up."""
        now = dict(pieces)
        come = dict(now)
        for key in self._pieces.get(owner, ()):
            if key in now and self._claimed(owner, key) == now[key]:
                self._renew(owner, key, come.pop(key))
            else:
                self._release(owner, key)
        for key, value in come.items():
            if (winner := self._winner.get(key)) is not None:
                self._contend(owner, key, value, winner)
            else:
                # Most pieces are nobody else's, and of a start all are new.
                self._before.setdefault(key, None)
                self._winner[key] = (owner, value)
        if now:
            self._pieces[owner] = tuple(now)
        else:
            self._pieces.pop(owner, None)

    def items(self) -> Iterator[tuple[K, V]]:
        """The pieces as they should be now, one value for each."""
        return ((key, value) for key, (_, value) in self._winner.items())

    def delta(self) -> Delta[K, V]:
        """What changed since the last commit; nothing is forgotten by asking."""
        removed: dict[K, V] = {}
        added: dict[K, V] = {}
        for key, old in self._before.items():
            winner = self._winner.get(key)
            new = winner[1] if winner else None
            if old != new:
                if old is not None:
                    removed[key] = old
                if new is not None:
                    added[key] = new
        return Delta(removed, added)

    def commit(self) -> None:
        """The world now is as the ledger says."""
        self._before.clear()

    def _claimed(self, owner: Owner, key: K) -> V:
        winner, value = self._winner[key]
        return value if winner == owner else self._others[key][owner]

    def _renew(self, owner: Owner, key: K, value: V) -> None:
        """An equal one, which is not kept for what it was worked out from: that changes, and is not to live on."""
        if self._winner[key][0] == owner:
            self._winner[key] = (owner, value)
        else:
            self._others[key][owner] = value

    def _contend(self, owner: Owner, key: K, value: V, winner: tuple[Owner, V]) -> None:
        self._before.setdefault(key, winner[1])
        if winner[0] == owner:
            self._winner[key] = (owner, value)
        elif owner < winner[0]:
            self._others.setdefault(key, {}).pop(owner, None)
            self._others[key][winner[0]] = winner[1]
            self._winner[key] = (owner, value)
        else:
            self._others.setdefault(key, {})[owner] = value

    def _release(self, owner: Owner, key: K) -> None:
        winner = self._winner[key]
        self._before.setdefault(key, winner[1])
        others = self._others.get(key)
        if winner[0] != owner:
            if others:
                others.pop(owner, None)
        elif others:
            heir = min(others)
            self._winner[key] = (heir, others.pop(heir))
        else:
            del self._winner[key]
        if others is not None and not others:
            self._others.pop(key, None)

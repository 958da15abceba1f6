"""The interface of a store and the values that cross it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Change:
    """One entry of the log: value None says the key was deleted at this revision.

    created is the revision at which the key was written first, since it last did not exist.
    """

    revision: int
    key: str
    value: bytes | None
    created: int


@dataclass(frozen=True)
class Put:
    """Write a key. expect: None whatever is there, 0 it must not exist, n it must stand at revision n."""

    key: str
    value: bytes
    expect: int | None = None


@dataclass(frozen=True)
class Delete:
    """Remove a key, which must exist. expect: None at any revision, n it must stand at revision n."""

    key: str
    expect: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """A copy of the store in a file of its own: what was current at a revision, and how many objects that are."""

    path: Path
    revision: int
    objects: int


Op = Put | Delete
Deliver = Callable[[Sequence[Change]], None]


class StoreError(Exception):
    """The store could not do what was asked; the message is fit for a user."""


class Mismatch(StoreError):
    """A transaction's expectation did not hold: key stands at current (0: does not exist). Nothing was written."""

    def __init__(self, key: str, current: int) -> None:
        super().__init__(f"{key} stands at revision {current}")
        self.key, self.current = key, current


class Corrupt(StoreError):
    """The state file is damaged, is not the one that was written last, or is no state file of ours."""


class Locked(StoreError):
    """Another process has the state file open."""


class Full(StoreError):
    """No space or no write permission: the transaction was not written, everything acknowledged before is safe."""


class Store(Protocol):
    """A revisioned key-value store. All methods belong to one event loop."""

    @property
    def revision(self) -> int:
        """The newest revision delivered."""

    @property
    def compacted(self) -> int:
        """Changes up to this revision are no longer kept."""

    @property
    def trouble(self) -> str:
        """Why nothing but removals can be written now, fit for a user; "" when all is well."""

    async def open(self) -> None:
        """Raises Corrupt, Locked, StoreError."""

    async def close(self) -> None: ...

    async def txn(self, ops: Sequence[Op], *, removing: bool = False) -> list[int]:
        """All or nothing; returns each op's revision once durable and delivered. Raises Mismatch, Full.

        removing: the write leads to a removal, and may draw on the room kept for when everything else is full. A
        transaction of deletions alone always may.
        """

    async def history(self) -> list[Change]:
        """Every change kept, ascending: what is current, and what superseded it since the last compaction."""

    def follow(self, deliver: Deliver) -> None:
        """Call deliver on the loop with every later batch, in order, before its writers are answered."""

    async def compact(self, revision: int) -> None:
        """Forget values superseded or deleted at or before revision."""

    async def snapshot(self, target: Path) -> Snapshot:
        """Make a copy while everything goes on; history is not compacted meanwhile. Raises StoreError, no file then."""

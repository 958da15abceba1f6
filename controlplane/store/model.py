"""The interface of a store and the values that cross it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Record:
    """A key's value: written at revision, first created (since it last did not exist) at created."""

    key: str
    value: bytes
    revision: int
    created: int


@dataclass(frozen=True)
class Change:
    """One entry of the log: value None says the key was deleted at this revision."""

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


Op = Put | Delete
Deliver = Callable[[Sequence[Change]], None]


class StoreError(Exception):
    """The store could not do what was asked; the message is fit for a user."""


class Mismatch(StoreError):
    """A transaction's expectation did not hold: key stands at current (0: does not exist). Nothing was
    written.
    """

    def __init__(self, key: str, current: int) -> None:
        super().__init__(f"{key} stands at revision {current}")
        self.key, self.current = key, current


class Compacted(StoreError):
    """The changes asked for are older than the history that is kept (it starts after .revision)."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"history up to revision {revision} has been compacted")
        self.revision = revision


class Corrupt(StoreError):
    """The state file is damaged or is no state file of ours."""


class Locked(StoreError):
    """Another process has the state file open."""


class Full(StoreError):
    """No space or no write permission: the transaction was not written, everything acknowledged before is
    safe.
    """


class Store(Protocol):
    """A revisioned key-value store. All methods belong to one event loop."""

    @property
    def revision(self) -> int:
        """The newest revision delivered."""

    @property
    def compacted(self) -> int:
        """Changes up to this revision are no longer kept."""

    async def open(self) -> None:
        """Raises Corrupt, Locked, StoreError."""

    async def close(self) -> None: ...

    async def txn(self, ops: Sequence[Op]) -> list[int]:
        """All or nothing; returns each op's revision once durable and delivered. Raises Mismatch, Full."""

    async def get(self, key: str) -> Record | None: ...

    async def range(self, prefix: str) -> list[Record]:
        """The current records under prefix, by key."""

    async def changes(self, after: int) -> list[Change]:
        """The log after a revision, ascending. Raises Compacted."""

    def follow(self, deliver: Deliver) -> None:
        """Call deliver on the loop with every later batch, in order, before its writers are answered."""

    async def compact(self, revision: int) -> None:
        """Forget values superseded or deleted at or before revision."""

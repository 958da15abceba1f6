"""The interface of a store and the values that cross it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Change:
    """One entry of the log: value None says the key was deleted at this revision.

    created is the revision at which the key was written first, since it last did not exist; of a deletion a store that
    is shared does not tell it (0).
    """

    revision: int
    key: str
    value: bytes | None
    created: int


@dataclass(frozen=True)
class Put:
    """Write a key. expect: None whatever is there, 0 it must not exist, n it must stand at revision n.

    ttl: seconds after which a store that is shared removes it by itself; 0 never.
    """

    key: str
    value: bytes
    expect: int | None = None
    ttl: int = 0


@dataclass(frozen=True)
class Delete:
    """Remove a key, which must exist. expect: None at any revision, n it must stand at revision n.

    lenient: it need not exist.
    """

    key: str
    expect: int | None = None
    lenient: bool = False


@dataclass(frozen=True)
class Snapshot:
    """A copy of the store in a file of its own: what was current at a revision, and how many objects that are."""

    path: Path
    revision: int
    objects: int


Op = Put | Delete


@dataclass(frozen=True)
class Place:
    """Where a store is; each uses what it needs of this. Files are PEM."""

    data_dir: Path
    """The folder of a store that lies in files."""
    servers: tuple[str, ...] = ()
    """etcd's: URLs, as https://10.0.0.1:2379."""
    ca_file: Path | None = None
    """Whose servers are believed."""
    cert_file: Path | None = None
    """How this one proves itself to them."""
    key_file: Path | None = None
    """Its key."""
    prefix: str = "/registry"
    """Everything below it is the store's."""


class Layout(Protocol):
    """How keys and values lie in a store that others read, too."""

    def place(self, key: str) -> str:
        """Where a key lies, below the store's prefix."""

    def key(self, place: str) -> str | None:
        """The key that lies at a place; None for what is none of ours."""

    def outward(self, key: str, value: bytes) -> bytes:
        """A value as others read it."""

    def inward(self, key: str, value: bytes) -> bytes:
        """The value that others wrote so. Raises ValueError."""


class Follower(Protocol):
    """Who is told of every change, on the store's loop."""

    def deliver(self, batch: Sequence[Change]) -> None:
        """One batch, in order, before its writers are answered."""

    def advance(self, revision: int) -> None:
        """Nothing more happened up to a revision."""

    def overtake(self, current: Sequence[Change], revision: int) -> None:
        """What happened up to a revision cannot be told one by one any more: this is what is there then."""


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


class Unavailable(StoreError):
    """The store cannot be reached, or does not answer in time. unsure: a write may have been done all the same."""

    def __init__(self, text: str, unsure: bool = False) -> None:
        super().__init__(text)
        self.unsure = unsure


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

    @property
    def away(self) -> str:
        """Why the store cannot be asked now, fit for a user; "" when all is well."""

    @property
    def shared(self) -> bool:
        """Other servers write to it, too; and it removes by itself what was put for some time."""

    async def open(self) -> None:
        """Raises Corrupt, Locked, StoreError."""

    async def close(self) -> None: ...

    async def txn(self, ops: Sequence[Op], *, removing: bool = False) -> list[int]:
        """All or nothing; returns each op's revision once durable and delivered. Raises Mismatch, Full, Unavailable.

        Where a key comes twice, a shared store does first what is before that, by itself; what follows is done only
        where nobody else wrote the key in between, and Mismatch then tells of no more than that.

        removing: the write leads to a removal, and may draw on the room kept for when everything else is full. A
        transaction of deletions alone always may.
        """

    async def history(self) -> list[Change]:
        """Every change kept, ascending: what is current, and what superseded it since the last compaction."""

    async def fresh(self) -> None:
        """Wait until all that anybody was answered before this call is delivered. Raises Unavailable."""

    def follow(self, follower: Follower) -> None:
        """Tell of every later change."""

    async def compact(self, revision: int) -> None:
        """Forget values superseded or deleted at or before revision."""

    async def snapshot(self, target: Path) -> Snapshot:
        """Make a copy while everything goes on; history is not compacted meanwhile. Raises StoreError, no file then."""

"""What clients of API servers saw, as values: the checker's material.

Every value that is written is unique in a run, so that what was read names the write that it comes from. Times are
seconds of one clock; revision 0 is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    DONE = "done"
    REFUSED = "refused"
    """Another revision than the expected one was there, or the object was or was not."""
    UNKNOWN = "unknown"
    """No answer, or one that does not say: it may have been done, also later."""


@dataclass(frozen=True)
class Write:
    """expect: the revision that was to be replaced, 0 for a creation. value "": a deletion. revision: of what was done;
    of a deletion it is not told (0).
    """

    key: str
    value: str
    expect: int
    begun: float
    ended: float
    outcome: Outcome
    revision: int = 0


@dataclass(frozen=True)
class Read:
    """A read that names no revision; revision 0: it was not there."""

    key: str
    begun: float
    ended: float
    revision: int
    value: str


@dataclass(frozen=True)
class Listing:
    """A list of everything, begun when all that was answered before had to be in it."""

    begun: float
    ended: float
    revision: int
    objects: dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Event:
    """value "": deleted."""

    revision: int
    key: str
    value: str


@dataclass
class Watch:
    """One watcher from the revision after which it began; it goes on across servers until it had to list anew. told has
    bookmarks (ints) where they came.
    """

    begun: int
    told: list[Event | int] = field(default_factory=list)
    heard: float = 0.0
    """When it was told something last, or began."""
    expired: float = 0.0
    """When a server said that what followed is not kept any more; 0: none did."""

    @property
    def events(self) -> list[Event]:
        return [each for each in self.told if isinstance(each, Event)]

    @property
    def last(self) -> int:
        """Up to here it knows everything."""
        ends = [each if isinstance(each, int) else each.revision for each in self.told]
        return max([self.begun, *ends])


@dataclass
class History:
    """kept: seconds for which every server has to know what happened."""

    kept: float = 300.0
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    lists: list[Listing] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)

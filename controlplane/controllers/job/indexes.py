"""Sets of completion indexes as the API writes them: `0-3,5,7,8`. Pure; cost grows with the intervals."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Indexes:
    """Ordered intervals (first, last) that neither touch nor overlap."""

    intervals: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.intervals)

    def __contains__(self, index: int) -> bool:
        place = bisect_left(self.intervals, index, key=lambda interval: interval[1])
        return place < len(self.intervals) and self.intervals[place][0] <= index

    def __str__(self) -> str:
        return ",".join(_spelled(first, last) for first, last in self.intervals)

    def __or__(self, other: Indexes) -> Indexes:
        return _merged(sorted((*self.intervals, *other.intervals)))

    def __and__(self, other: Indexes) -> Indexes:
        common, mine, theirs = [], list(self.intervals), list(other.intervals)
        while mine and theirs:
            first, last = max(mine[0][0], theirs[0][0]), min(mine[0][1], theirs[0][1])
            if first <= last:
                common.append((first, last))
            (mine if mine[0][1] <= theirs[0][1] else theirs).pop(0)
        return Indexes(tuple(common))

    def missing(self, limit: int) -> Iterator[int]:
        """The indexes below `limit` that are not in the set, in order."""
        candidate = 0
        for first, last in self.intervals:
            yield from range(candidate, min(first, limit))
            candidate = last + 1
        yield from range(candidate, limit)


def of(numbers: Iterable[int]) -> Indexes:
    return _merged(sorted((number, number) for number in set(numbers)))


def parse(text: str, limit: int) -> Indexes:
    """What `text` names below `limit`; parts that are no numbers are left out."""
    found = []
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        if first.isdecimal() and (not last or last.isdecimal()) and int(first) < limit:
            found.append((int(first), min(int(last or first), limit - 1)))
    return _merged(sorted(found))


def _merged(ordered: list[tuple[int, int]]) -> Indexes:
    merged: list[tuple[int, int]] = []
    for first, last in ordered:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return Indexes(tuple(merged))


def _spelled(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"

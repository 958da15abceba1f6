"""Whether a state file is whole and the one that was written last. Pure: rows and marks in, findings out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.store.checksum import Row, added
from controlplane.store.journal import BEFORE_FIRST, Notes
from controlplane.store.witness import Mark

_TOLD = 4


@dataclass(frozen=True)
class Findings:
    """head and chain: the newest revision and the chain there. problems: what is damaged or lost, for a user."""

    head: int
    chain: int
    problems: tuple[str, ...] = ()


def audit(notes: Notes, rows: Iterable[Row], mark: Mark) -> Findings:
    """Check every row, the chain over them, and that they reach as far as the witness says."""
    seen = _Seen(notes, mark)
    for row in rows:
        seen.take(row)
    return seen.findings()


class _Seen:
    def __init__(self, notes: Notes, mark: Mark) -> None:
        self.notes, self.mark = notes, mark
        self.head, self.chain = BEFORE_FIRST, 0
        self.count, self.total = 0, 0
        self.damaged: list[str] = []
        self.missing: list[str] = []
        self.marked = notes.chain if notes.newest == mark.revision else None

    def take(self, row: Row) -> None:
        at = row.change.revision
        expected = max(self.head, self.notes.compacted, BEFORE_FIRST) + 1
        follows = at == self.head + 1
        if at > self.notes.compacted and at != expected:
            self.missing.append(_span(expected, at - 1))
        if not row.sound or (follows and self.count and row.chain != added(self.chain, row.sum)):
            self.damaged.append(f"{at} ({row.change.key})")
        if at == self.mark.revision:
            self.marked = row.chain
        self.head, self.chain = at, row.chain
        self.count += 1
        self.total = added(self.total, row.sum)

    def findings(self) -> Findings:
        if self.head < self.notes.newest:
            self.head, self.chain = self.notes.newest, self.notes.chain
        problems = []
        if self.damaged:
            problems.append(f"{_listed('revision', self.damaged)} is lost: it does not match its checksum")
        if self.missing:
            problems.append(f"{_listed('revision', self.missing)} is lost: it is missing")
        if self.head < self.mark.revision:
            lost = _span(self.head + 1, self.mark.revision)
            problems.append(
                f"it ends at revision {self.head}, but writes up to revision {self.mark.revision} were acknowledged: "
                f"the changes of revision {lost} are lost"
            )
        elif not problems:
            problems += self._whole()
        return Findings(self.head, self.chain, tuple(problems))

    def _whole(self) -> list[str]:
        forgotten = self.notes
        rows = self.count + forgotten.forgotten_rows
        if rows != self.head - BEFORE_FIRST or added(self.total, forgotten.forgotten) != self.chain:
            gone = self.head - BEFORE_FIRST - rows
            what = f"{gone} objects are lost" if gone > 0 else "objects are lost or not what they were"
            return [f"{what} among those written up to revision {forgotten.compacted}"]
        known = self.marked is not None or self.mark.revision <= forgotten.compacted
        if not known or (self.marked is not None and self.marked != self.mark.chain and self.mark.revision):
            return [
                f"its revision {self.mark.revision} is not the one that was acknowledged: it is another history, and "
                "what was written in ours is lost"
            ]
        return []


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _listed(noun: str, found: list[str]) -> str:
    more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return f"{noun} {', '.join(found[:_TOLD])}{more}"

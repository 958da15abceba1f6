"""What each key's newest row is, which rows are obsolete, and which rows a batch of writes becomes. Pure.

Writes see the ones before them in their batch. Nothing of a batch is in the ledger before it is noted: by then it is
durable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import takewhile

from controlplane.store.checksum import Row, sealed
from controlplane.store.model import Change, Mismatch, Op, Put

# (revision of the newest row, revision at which the object was created)
Place = tuple[int, int]


class Ledger:
    """One writer's."""

    def __init__(self) -> None:
        self.last = 0
        """The newest revision."""
        self._newest: dict[str, Place] = {}
        # (revision of the row that made it obsolete, obsolete row), ascending in the first
        self._obsolete: deque[tuple[int, int]] = deque()

    def note(self, change: Change) -> None:
        """A row that is durable; in the order of revisions."""
        before = self._newest.get(change.key)
        if before is not None:
            self._obsolete.append((change.revision, before[0]))
        if change.value is None:
            self._newest.pop(change.key, None)
            self._obsolete.append((change.revision, change.revision))
        else:
            self._newest[change.key] = (change.revision, change.created)
        self.last = change.revision

    def current(self) -> list[int]:
        """The revisions of the rows that are there now, ascending."""
        return sorted(revision for revision, _ in self._newest.values())

    def obsolete(self, upto: int) -> list[int]:
        """The rows that were superseded at a revision of at most `upto`."""
        return [row for _, row in takewhile(lambda pair: pair[0] <= upto, self._obsolete)]

    def forget(self, count: int) -> None:
        """So many of the obsolete rows, the first ones, are gone."""
        for _ in range(count):
            self._obsolete.popleft()

    def batch(self, writes: Sequence[Sequence[Op]], chain: int) -> tuple[list[Row], list[list[int] | Mismatch]]:
        """The rows of the writes whose expectations hold, sealed onto `chain`; for each write its revisions, or why it
        is refused.
        """
        ahead: dict[str, Place | None] = {}
        rows: list[Row] = []
        outcomes: list[list[int] | Mismatch] = []
        last = self.last
        for ops in writes:
            try:
                planned = self._changes(ops, last, ahead)
            except Mismatch as error:
                outcomes.append(error)
                continue
            for change in planned:
                ahead[change.key] = None if change.value is None else (change.revision, change.created)
                rows.append(sealed(change, chain))
                chain = rows[-1].chain
            last += len(planned)
            outcomes.append([change.revision for change in planned])
        return rows, outcomes

    def _changes(self, ops: Sequence[Op], last: int, ahead: Mapping[str, Place | None]) -> list[Change]:
        """One write's. Raises Mismatch."""
        planned: list[Change] = []
        own: dict[str, Place | None] = {}
        for op in ops:
            known: Mapping[str, Place | None] = own if op.key in own else ahead if op.key in ahead else self._newest
            at = known.get(op.key)
            current = at[0] if at else 0
            if op.expect is not None and op.expect != current:
                raise Mismatch(op.key, current)
            revision = last + len(planned) + 1
            if isinstance(op, Put):
                created = at[1] if at else revision
                planned.append(Change(revision, op.key, op.value, created))
                own[op.key] = (revision, created)
            elif at is None:
                if not op.lenient:
                    raise Mismatch(op.key, 0)
            else:
                planned.append(Change(revision, op.key, None, at[1]))
                own[op.key] = None
        return planned

"""What an evaluation may cost. Pure.

Cost is counted as upstream counts it (a step 1, a string by its length, a list 10), since its limits are part of the
API. Work that has no cost there, copying lists above all, is counted beside it: nothing is done without an end.
"""

from __future__ import annotations

import math
from typing import Any

from apimachinery.cel.values.faults import CostExceeded

# Of one expression, and of all those that one policy judges a request by.
PER_CALL = 1_000_000
PER_REQUEST = 10_000_000
# Work beside it, of one expression: elements and characters that may be copied, parts of values that may be compared.
MOST_WORK = 10_000_000
# Such work is that much quicker than a step.
_WORK_OF_COST = 20


class Unfinished(BaseException):
    """An evaluation takes longer than it may where it was begun. No error of the expression: nothing absorbs it."""


class Budget:
    """cost: what is left of it. at_once: what may be spent before it is Unfinished. work: what may be done beside."""

    def __init__(self, cost: int = PER_CALL, at_once: int | None = None, work: int = MOST_WORK) -> None:
        self.cost = cost
        self._given = cost
        self._pause = -1 if at_once is None else cost - at_once
        self._most_work = work if at_once is None else min(work, at_once * _WORK_OF_COST)
        self._work = self._most_work
        self._at_once = at_once is not None

    def spend(self, cost: int) -> None:
        """Raises CostExceeded and Unfinished."""
        self.cost -= cost
        if self.cost < 0:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")
        if self.cost < self._pause:
            raise Unfinished

    def work(self, parts: int) -> None:
        """What has no cost but takes time. Raises CostExceeded and Unfinished."""
        self._work -= parts
        if self._work < 0:
            if self._at_once:
                raise Unfinished
            raise CostExceeded("operation cancelled: actual cost limit exceeded")

    @property
    def spent(self) -> int:
        return self._given - max(self.cost, 0)

    @property
    def worked(self) -> int:
        return self._most_work - max(self._work, 0)


class Activation:
    """What one evaluation knows: the values of names, and its budget."""

    def __init__(self, names: dict[str, Any], budget: Budget) -> None:
        self.names = names
        self.budget = budget


def traversal(size: float) -> int:
    """What it costs to go through a text of a size."""
    return math.ceil(size * 0.1)

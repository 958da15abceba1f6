"""The fitting nodes of a board, sorted by what makes a difference to plugins that look further than at one node.

A pod that wants to be in a zone, or away from its like, is then decided by one node of each sort: the cost is that of
the sorts and of the nodes that changed, not of the nodes there are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence

from controlplane.scheduler.likeness import Likeness
from controlplane.scheduler.verdicts import Pool, Verdict

# Questions of one board whose groups are kept. Pods of one sign may be of many workloads, each with its own question:
# one that is kept is given up only when it was not asked for so many turns.
KEPT = 8
PATIENCE = 64
# Questions that are remembered as asked once: the first pod of a kind is mostly the only one.
REMEMBERED = 64
# With more groups than this, looking at each node of a sample costs less.
MANY = 64


class Group:
    """Nodes that are the same to all plugins that look further, by what the others make of them."""

    def __init__(self) -> None:
        self.ranks: dict[float, Pool] = {}
        self.size = 0

    @property
    def best(self) -> float:
        """The highest total."""
        return max(self.ranks)

    @property
    def example(self) -> Verdict:
        """Any of them."""
        return next(iter(self.ranks.values())).pick(0)

    def add(self, name: str, verdict: Verdict) -> None:
        rank = self.ranks.get(verdict.total)
        if rank is None:
            rank = self.ranks[verdict.total] = Pool()
        rank.add(name, verdict)
        self.size += 1

    def discard(self, name: str, verdict: Verdict) -> None:
        rank = self.ranks[verdict.total]
        rank.discard(name)
        self.size -= 1
        if not rank:
            del self.ranks[verdict.total]


class Groups:
    """The groups for one question. Nodes that changed are put into theirs when the groups are asked for."""

    def __init__(self, likenesses: Sequence[Likeness], fitting: Pool) -> None:
        self._of = [likeness.of for likeness in likenesses]
        self._fitting = fitting
        self._at: dict[str, tuple[Hashable, Verdict]] = {}
        self._groups: dict[Hashable, Group] = {}
        self._changed: set[str] = set(fitting.names())
        self.used = 0

    def all(self) -> list[Group]:
        """Every group with nodes in it."""
        for name in self._changed:
            verdict = self._fitting.get(name)
            if verdict is not None:
                sort = tuple(of(verdict.info) for of in self._of)
                self._groups.setdefault(sort, Group()).add(name, verdict)
                self._at[name] = sort, verdict
        self._changed.clear()
        return list(self._groups.values())

    def changed(self, name: str) -> None:
        """Take a node out until the groups are asked for again: what a question that nobody asks any more held would
        keep each node, and its pods, in memory as they once were.
        """
        self._changed.add(name)
        sort, verdict = self._at.pop(name, (None, None))
        if verdict is not None:
            group = self._groups[sort]
            group.discard(name, verdict)
            if not group.size:
                del self._groups[sort]


class Groupings:
    """The groups of one board for the questions that are asked of it again and again."""

    def __init__(self, fitting: Pool) -> None:
        self._fitting = fitting
        self._kept: OrderedDict[Hashable, Groups] = OrderedDict()
        self._once: OrderedDict[Hashable, None] = OrderedDict()
        self._turn = 0

    def changed(self, name: str) -> None:
        """The board says something new of a node."""
        for groups in self._kept.values():
            groups.changed(name)

    def of(self, likenesses: Sequence[Likeness]) -> list[Group] | None:
        """The groups, or None where to make them would not pay."""
        self._turn += 1
        question = tuple(likeness.question for likeness in likenesses)
        groups = self._kept.get(question)
        if groups is None:
            if question and not self._pays(question):
                return None
            groups = self._kept[question] = Groups(likenesses, self._fitting)
        self._kept.move_to_end(question)
        groups.used = self._turn
        found = groups.all()
        return found if len(found) <= MANY else None

    def _pays(self, question: Hashable) -> bool:
        if question not in self._once:
            self._once[question] = None
            if len(self._once) > REMEMBERED:
                self._once.popitem(last=False)
            return False
        if len(self._kept) < KEPT:
            return True
        oldest, groups = next(iter(self._kept.items()))
        if self._turn - groups.used < PATIENCE:
            return False
        del self._kept[oldest]
        return True

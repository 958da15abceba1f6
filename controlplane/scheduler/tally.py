"""Pods counted by node, and by the values of node labels, kept as pods come and go.

A question such as "how many pods that this selector selects are in each zone" is answered once by counting; from then
on each pod that comes or goes costs one addition. What depends on the nodes themselves (their labels, which of them a
pod could use) is counted anew when a node of the cluster has changed so that it may matter.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

Counts = dict[str, int]
"""A name (a node's, or a label's value) to a number of pods."""

# Questions that one tally keeps answers to; the oldest is forgotten.
KEPT_DOMAINS = 16
_numbers = itertools.count()


def bump(counts: Counts, name: str, by: int) -> int:
    """Add to a count, dropping it at zero; the new count."""
    value = counts.get(name, 0) + by
    if value:
        counts[name] = value
    else:
        counts.pop(name, None)
    return value


class Domains:
    """Pods by the value of one node label, over those nodes that qualify; values without pods count as 0. `there`: the
    values with pods. `shared`: several nodes have the same value. `number` is no other's."""

    def __init__(self, values: Mapping[str, str], nodes: Counts) -> None:
        """`values`: the value of each node that qualifies; `nodes`: pods by node."""
        self._values = values
        self.number = next(_numbers)
        self.total = 0
        self.counts: Counts = dict.fromkeys(values.values(), 0)
        for name, count in nodes.items():
            if (value := values.get(name)) is not None:
                self.counts[value] += count
                self.total += count
        self.shared = len(self.counts) < len(values)
        self.there = {value for value, count in self.counts.items() if count > 0}
        # How many values have how many pods, so that the lowest is found without looking at each.
        self._levels: dict[int, int] = {}
        for count in self.counts.values():
            self._levels[count] = self._levels.get(count, 0) + 1

    def value(self, node: str) -> str | None:
        """The value of a node that qualifies."""
        return self._values.get(node)

    def bump(self, node: str, by: int) -> None:
        value = self._values.get(node)
        if value is None:
            return
        old = self.counts[value]
        self.total += by
        self.counts[value] = old + by
        if old + by > 0:
            self.there.add(value)
        else:
            self.there.discard(value)
        self._level(self._levels, old, old + by)

    def lowest(self, changed: Mapping[str, int] | None = None) -> int:
        """The fewest pods that a value has, as if `changed` (by value) were added."""
        levels = self._levels
        if changed:
            levels = dict(levels)
            for value, by in changed.items():
                self._level(levels, self.counts[value], self.counts[value] + by)
        return min(levels, default=0)

    @staticmethod
    def _level(levels: dict[int, int], old: int, new: int) -> None:
        if levels[old] == 1:
            del levels[old]
        else:
            levels[old] -= 1
        levels[new] = levels.get(new, 0) + 1


@dataclass
class _Kept:
    epoch: int
    domains: Domains


class Tally:
    """Pods by node, and on request by the values of a label. `number` is no other's."""

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.nodes: Counts = {}
        self._domains: dict[Hashable, _Kept] = {}

    def __bool__(self) -> bool:
        return bool(self.nodes)

    def bump(self, node: str, by: int) -> None:
        """One pod more (1) or less (-1) on a node."""
        bump(self.nodes, node, by)
        for kept in self._domains.values():
            kept.domains.bump(node, by)

    def domains(self, question: Hashable, epoch: int, values: Callable[[], Mapping[str, str]]) -> Domains:
        """The counts by label value.

        `question` names label and nodes that qualify; `values` gives each such node's value, and is asked again
        once `epoch` has moved on.
        """
        kept = self._domains.get(question)
        if kept is None or kept.epoch != epoch:
            self._domains.pop(question, None)
            if len(self._domains) >= KEPT_DOMAINS:
                self._domains.pop(next(iter(self._domains)))
            kept = self._domains[question] = _Kept(epoch, Domains(values(), self.nodes))
        return kept.domains

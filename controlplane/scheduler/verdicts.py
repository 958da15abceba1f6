"""What is said of one node for pods of one sign, and nodes by what is said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.scheduler.framework import Plugin, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo

Refusal = tuple[Plugin, Rejection]
"""Who refused a node, and why."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """Of one node as `info` is: who refuses it, the sum of the scores that need no scaling, and the other scores."""

    info: NodeInfo
    refusal: Refusal | None
    total: float = 0.0
    raw: tuple[float, ...] = ()


class Pool:
    """Verdicts by node in a list without gaps: to add, remove or pick one costs the same however many there are."""

    def __init__(self) -> None:
        self._listed: list[Verdict] = []
        self._at: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._listed)

    def add(self, name: str, verdict: Verdict) -> None:
        self._at[name] = len(self._listed)
        self._listed.append(verdict)

    def discard(self, name: str) -> None:
        """The last one takes its place."""
        index = self._at.pop(name)
        last = self._listed.pop()
        if index < len(self._listed):
            self._listed[index] = last
            self._at[last.info.node.name] = index

    def get(self, name: str) -> Verdict | None:
        return self._listed[self._at[name]] if name in self._at else None

    def names(self) -> Iterable[str]:
        return self._at.keys()

    def pick(self, number: int) -> Verdict:
        return self._listed[number % len(self._listed)]

    def window(self, start: int, size: int) -> list[Verdict]:
        """So many, but each once, from a place on and round."""
        listed = self._listed
        start %= max(len(listed), 1)
        taken = listed[start : start + size]
        return taken + listed[: min(start, size - len(taken))]

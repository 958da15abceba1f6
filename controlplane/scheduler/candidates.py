"""Nodes on which room can be made for a pod by removing others, and which of them harms least. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.scheduler.extract import Pod


@dataclass(frozen=True)
class Candidate:
    """A node, the pods that would have to go, the most important first, and how many of them a budget protects."""

    node: str
    victims: tuple[Pod, ...]
    violations: int = 0


def by_importance(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """The most important first: by priority, then who has run longest."""
    return tuple(sorted(pods, key=lambda pod: (-pod.priority, pod.started or pod.created)))


def by_harm(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The least harmful first (there must be victims on each)."""
    return tuple(sorted(candidates, key=_harm))


def _harm(candidate: Candidate) -> tuple[int, int, int, int, str]:
    """Fewest violations of budgets, then the lowest highest priority, the lowest sum, the fewest, and where the most
    important have run for the shortest time."""
    victims = candidate.victims
    highest = victims[0].priority
    # Sums must not cancel out: priorities may be negative (upstream adds 2^31 to each).
    total = sum(pod.priority + (1 << 31) for pod in victims)
    earliest = min(pod.started or pod.created for pod in victims if pod.priority == highest)
    latest_first = "".join(chr(0x10FFFF - ord(letter)) for letter in earliest)
    return candidate.violations, highest, total, len(victims), latest_first

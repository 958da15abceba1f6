"""NodeResourcesFit and NodeResourcesBalancedAllocation: room on the node, and how evenly it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.scheduler.cluster import NodeInfo
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import MAX_SCORE, SKIP, Change, Plugin, Query, Rejection

SCORED = ("cpu", "memory")


def lacking(pod: Pod, info: NodeInfo) -> tuple[list[str], bool]:
    """Upstream's reasons (`Insufficient cpu`) and whether even the empty node would be too small."""
    allocatable, requested = info.node.allocatable, info.requested
    reasons = []
    hopeless = False
    if len(info.pods) + 1 > allocatable.get("pods", 0):
        reasons.append("Too many pods")
    for name, amount in pod.requests.items():
        total = allocatable.get(name, 0)
        if amount > total - requested.get(name, 0):
            reasons.append(f"Insufficient {name}")
            hopeless = hopeless or amount > total
    return reasons, hopeless


class NodeResourcesFit(Plugin):
    """Filters by requests; scores by LeastAllocated, cpu and memory weighing the same."""

    name = "NodeResourcesFit"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_ALLOCATABLE, Change.POD_REMOVED, Change.POD_UPDATED))

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        reasons, hopeless = lacking(pod, info)
        return Rejection("\n".join(reasons), hopeless) if reasons else None

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        """0 to MAX_SCORE: the mean share of cpu and memory that would stay free, in the units of Amounts."""
        total = weights = 0
        for name in SCORED:
            capacity = info.node.allocatable.get(name, 0)
            if not capacity:
                continue
            used = info.scored.get(name, 0) + pod.scored.get(name, 0)
            total += 0 if used > capacity else (capacity - used) * MAX_SCORE // capacity
            weights += 1
        return total // weights if weights else 0


class BalancedAllocation(Plugin):
    """Prefers nodes whose cpu and memory would be used in like proportion; says nothing of pods that ask for
    nothing.
    """

    name = "NodeResourcesBalancedAllocation"

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        return None if any(name in pod.requests for name in SCORED) else SKIP

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        return int((1 - _deviation(info, info.requested, pod.requests)) * MAX_SCORE)


def _deviation(info: NodeInfo, requested: Mapping[str, int], more: Mapping[str, int]) -> float:
    shares = [
        min((requested.get(name, 0) + more.get(name, 0)) / capacity, 1.0)
        for name in SCORED
        if (capacity := info.node.allocatable.get(name, 0))
    ]
    if len(shares) < 2:
        return 0.0
    return abs(shares[0] - shares[1]) / 2

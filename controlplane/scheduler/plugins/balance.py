"""NodeResourcesBalancedAllocation: prefers nodes whose resources the pod brings into like proportion."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import MAX_SCORE, SKIP, Plugin, Query
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.plugins.resources import DEFAULT_RESOURCES, Resource

HALF = MAX_SCORE // 2


@dataclass(frozen=True)
class BalancedAllocationArgs:
    """Arguments of the plugin. Raises ValueError, naming the field."""

    resources: tuple[Resource, ...] = DEFAULT_RESOURCES

    def __post_init__(self) -> None:
        for number, resource in enumerate(self.resources):
            if resource.weight != 1:
                raise ValueError(f"resources[{number}].weight: {resource.weight}: must be 1")
        if len({resource.name for resource in self.resources}) < len(self.resources):
            raise ValueError("resources: each name can stand there once")


class BalancedAllocation(Plugin):
    """Says nothing of pods that ask for nothing."""

    name = "NodeResourcesBalancedAllocation"

    def __init__(self, args: BalancedAllocationArgs | None = None) -> None:
        self._names = [resource.name for resource in (args or BalancedAllocationArgs()).resources]

    def sign(self, pod: Pod) -> Hashable:
        return tuple(pod.requests.items())

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        """The resources that count."""
        if not any(name in pod.requests for name in self._names):
            return SKIP
        return [name for name in self._names if name in ("cpu", "memory", "ephemeral-storage") or name in pod.requests]

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        """50 to 100, 75 where the pod changes nothing of the balance."""
        before = _balance(state, info, info.requested, {})
        after = _balance(state, info, info.requested, pod.requests)
        # Cut towards zero, as Go divides.
        return HALF + int((HALF + after - before) / 2)


def _balance(names: Sequence[str], info: NodeInfo, requested: Mapping[str, int], more: Mapping[str, int]) -> int:
    """100 less the standard deviation of the shares used."""
    shares = [
        min((requested.get(name, 0) + more.get(name, 0)) / capacity, 1.0)
        for name in names
        if (capacity := info.node.allocatable.get(name, 0))
    ]
    if len(shares) < 2:
        return MAX_SCORE
    if len(shares) == 2:
        deviation = abs(shares[0] - shares[1]) / 2
    else:
        mean = sum(shares) / len(shares)
        deviation = math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))
    return int((1 - deviation) * MAX_SCORE)

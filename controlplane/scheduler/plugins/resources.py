"""NodeResourcesFit: room on the node, and which of those with room is best: the emptiest, the fullest, or as a shape
says.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery.pods.requests import is_extended
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import MAX_SCORE, Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo

# What a shape's points are given in (upstream's MaxCustomPriorityScore).
SHAPE_MAX = 10


@dataclass(frozen=True)
class Resource:
    """One resource that counts, and how much."""

    name: str
    weight: int = 1


DEFAULT_RESOURCES = (Resource("cpu"), Resource("memory"))


@dataclass(frozen=True)
class ShapePoint:
    """At so many percent used, so many points of 10."""

    utilization: int
    score: int


@dataclass(frozen=True)
class Shape:
    """Points of a broken line."""

    shape: tuple[ShapePoint, ...] = ()


@dataclass(frozen=True)
class ScoringStrategy:
    """How nodes with room are compared."""

    type: str = "LeastAllocated"
    """LeastAllocated (spread) | MostAllocated (bin packing) | RequestedToCapacityRatio"""
    resources: tuple[Resource, ...] = DEFAULT_RESOURCES
    requested_to_capacity_ratio: Shape | None = None


@dataclass(frozen=True)
class NodeResourcesFitArgs:
    """Arguments of the plugin. Raises ValueError, naming the field."""

    ignored_resources: tuple[str, ...] = ()
    """Extended resources that no node needs to have."""
    ignored_resource_groups: tuple[str, ...] = ()
    """The same for all resources before whose slash this stands."""
    scoring_strategy: ScoringStrategy = field(default_factory=ScoringStrategy)

    def __post_init__(self) -> None:
        for number, group in enumerate(self.ignored_resource_groups):
            if "/" in group:
                raise ValueError(f"ignoredResourceGroups[{number}]: {group}: resource group name can't contain '/'")
        strategy, where = self.scoring_strategy, "scoringStrategy"
        if strategy.type not in STRATEGIES:
            raise ValueError(f"{where}.type: {strategy.type!r} is not known; use {', '.join(sorted(STRATEGIES))}")
        for number, resource in enumerate(strategy.resources):
            if not 0 < resource.weight <= 100:
                text = f"resource weight of {resource.name} not in valid range (0, 100]"
                raise ValueError(f"{where}.resources[{number}].weight: {resource.weight}: {text}")
        ratio = strategy.requested_to_capacity_ratio
        if (strategy.type == "RequestedToCapacityRatio") != (ratio is not None):
            text = "must be there when type is RequestedToCapacityRatio, and only then"
            raise ValueError(f"{where}.requestedToCapacityRatio: {text}")
        if ratio is not None:
            _check_shape(ratio.shape, f"{where}.requestedToCapacityRatio.shape")


def _check_shape(shape: Sequence[ShapePoint], where: str) -> None:
    if not shape:
        raise ValueError(f"{where}: at least one point must be specified")
    for number, point in enumerate(shape):
        if number and shape[number - 1].utilization >= point.utilization:
            raise ValueError(f"{where}[{number}].utilization: values must be sorted in increasing order")
        if not 0 <= point.utilization <= 100:
            raise ValueError(f"{where}[{number}].utilization: {point.utilization}: not in valid range [0, 100]")
        if not 0 <= point.score <= SHAPE_MAX:
            raise ValueError(f"{where}[{number}].score: {point.score}: not in valid range [0, {SHAPE_MAX}]")


def _least(used: int, capacity: int, _shape: Sequence[ShapePoint]) -> int:
    return 0 if used > capacity else (capacity - used) * MAX_SCORE // capacity


def _most(used: int, capacity: int, _shape: Sequence[ShapePoint]) -> int:
    return min(used, capacity) * MAX_SCORE // capacity


def _ratio(used: int, capacity: int, shape: Sequence[ShapePoint]) -> int:
    """The broken line at the share used, in percent."""
    at = 100 if used > capacity else used * 100 // capacity
    scale = MAX_SCORE // SHAPE_MAX
    for number, point in enumerate(shape):
        if at <= point.utilization:
            if number == 0:
                return point.score * scale
            before = shape[number - 1]
            rise, run = (point.score - before.score) * scale, point.utilization - before.utilization
            # Whole numbers are cut towards zero.
            return before.score * scale + int(rise * (at - before.utilization) / run)
    return shape[-1].score * scale


STRATEGIES: dict[str, Callable[[int, int, Sequence[ShapePoint]], int]] = {
    "LeastAllocated": _least,
    "MostAllocated": _most,
    "RequestedToCapacityRatio": _ratio,
}


class NodeResourcesFit(Plugin):
    """`unchecked`: resources that an extender looks after."""

    name = "NodeResourcesFit"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_ALLOCATABLE, Change.POD_REMOVED, Change.POD_UPDATED))

    def __init__(self, args: NodeResourcesFitArgs | None = None, unchecked: frozenset[str] = frozenset()) -> None:
        self._args = args or NodeResourcesFitArgs()
        self._unchecked = unchecked | frozenset(self._args.ignored_resources)
        strategy = self._args.scoring_strategy
        ratio = strategy.requested_to_capacity_ratio
        self._score, self._shape = STRATEGIES[strategy.type], ratio.shape if ratio else ()
        self._resources = [(r.name, r.weight) for r in strategy.resources]
        self._rounds = strategy.type == "RequestedToCapacityRatio"

    def sign(self, pod: Pod) -> Hashable:
        return tuple(pod.requests.items()), tuple(pod.scored.items())

    def may_help(self, pod: Pod, event: Event) -> bool:
        if event.node is not None:
            wanted = self._checked(pod)
            return event.node.allocatable.get("pods", 0) > 0 and all(
                amount <= event.node.allocatable.get(name, 0) for name, amount in wanted
            )
        if event.change is Change.POD_UPDATED and event.old is not None and event.pod is not None:
            before, after = event.old.requests, event.pod.requests
            return any(after.get(name, 0) < before.get(name, 0) for name, _ in self._checked(pod))
        return True

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        """Upstream's reasons, a line each; unresolvable where even the empty node would be too small."""
        allocatable, requested = info.node.allocatable, info.requested
        reasons: list[str] = []
        hopeless = False
        if len(info.pods) + 1 > allocatable.get("pods", 0):
            reasons.append("Too many pods")
        for name, amount in self._checked(pod):
            total = allocatable.get(name, 0)
            if amount > total - requested.get(name, 0):
                reasons.append(f"Insufficient {name}")
                hopeless = hopeless or amount > total
        return Rejection("\n".join(reasons), hopeless) if reasons else None

    def _checked(self, pod: Pod) -> Iterable[tuple[str, int]]:
        """What the pod asks for, without what is ignored."""
        groups = self._args.ignored_resource_groups
        if not self._unchecked and not groups:
            return pod.requests.items()
        return [
            (name, amount)
            for name, amount in pod.requests.items()
            if not is_extended(name) or (name not in self._unchecked and name.partition("/")[0] not in groups)
        ]

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        """What the pod counts of each resource; an extended one that it does not ask for says nothing."""
        wanted = []
        for name, weight in self._resources:
            amount = pod.scored.get(name, 0) if name in pod.scored else pod.requests.get(name, 0)
            if amount or name in ("cpu", "memory", "ephemeral-storage"):
                wanted.append((name, weight, amount))
        return wanted

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        """0 to MAX_SCORE: the weighted mean over the resources, as the strategy counts each."""
        total = weights = 0
        for name, weight, amount in state:
            capacity = info.node.allocatable.get(name, 0)
            if not capacity:
                continue
            used = info.scored if name in pod.scored else info.requested
            points = self._score(used.get(name, 0) + amount, capacity, self._shape)
            # A shape's zero is no answer (upstream leaves it out of the mean).
            if self._rounds and points <= 0:
                continue
            total += points * weight
            weights += weight
        if not weights:
            return 0
        return int(total / weights + 0.5) if self._rounds else total // weights

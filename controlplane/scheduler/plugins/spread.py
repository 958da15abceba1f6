"""PodTopologySpread: keeps the pods a selector counts evenly over the values of a node label (KEP 895)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.scheduler.cluster import Cluster, Counts, NodeInfo
from controlplane.scheduler.extract import HOSTNAME, Node, Pod, Spread
from controlplane.scheduler.framework import MAX_SCORE, SKIP, Change, Plugin, Query, Rejection
from controlplane.scheduler.plugins.node_affinity import matches
from controlplane.scheduler.plugins.taints import untolerated

ZONE = "topology.kubernetes.io/zone"
# Upstream's system defaults for pods that state nothing: (label, maxSkew), both ScheduleAnyway.
DEFAULTS = ((HOSTNAME, 3), (ZONE, 5))
NO_LABEL = Rejection("node(s) didn't match pod topology spread constraints (missing required label)", True)
SKEWED = Rejection("node(s) didn't match pod topology spread constraints")


@dataclass(frozen=True)
class Domains:
    """One hard constraint: pods counted by label value, the lowest count, whether the pod counts itself."""

    constraint: Spread
    counts: Mapping[str, int]
    lowest: int
    itself: int


@dataclass(frozen=True)
class Scored:
    """One soft constraint: pods by label value (by node for the host name), and the weight of one."""

    constraint: Spread
    counts: Mapping[str, int]
    weight: float


@dataclass(frozen=True)
class SoftState:
    """Soft constraints as counted once for all nodes; `ignored` nodes lack a label and come last."""

    scored: tuple[Scored, ...]
    ignored: frozenset[str]


class PodTopologySpread(Plugin):
    name = "PodTopologySpread"
    helped_by = frozenset(
        (Change.NODE_ADDED, Change.NODE_LABELS, Change.NODE_TAINTS, Change.POD_REMOVED, Change.POD_PLACED,
         Change.POD_UPDATED)
    )  # fmt: skip

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """A Domains for each DoNotSchedule constraint; SKIP without any."""
        hard = [c for c in pod.spread if c.hard]
        if not hard:
            return SKIP
        keys = [c.key for c in hard]
        return tuple(_domains(c, keys, pod, query.cluster) for c in hard)

    def filter(self, state: Sequence[Domains], pod: Pod, info: NodeInfo) -> Rejection | None:
        """Skew is the pods of this domain, with this one, less those of the emptiest; maxSkew bounds it."""
        for domains in state:
            value = info.node.labels.get(domains.constraint.key)
            if value is None:
                return NO_LABEL
            skew = domains.counts.get(value, 0) + domains.itself - domains.lowest
            if skew > domains.constraint.max_skew:
                return SKEWED
        return None

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        """SoftState from the ScheduleAnyway constraints, or from upstream's defaults for a pod that states nothing.

        The defaults leave no node out: where a label is missing its constraint just says nothing.
        """
        constraints = [c for c in pod.spread if not c.hard]
        if not pod.spread:
            constraints = _defaults(pod, query)
        if not constraints:
            return SKIP
        ignored: frozenset[str] = frozenset()
        if pod.spread:
            keys = [c.key for c in constraints]
            ignored = frozenset(i.node.name for i in nodes if any(k not in i.node.labels for k in keys))
        counted = [i for i in nodes if i.node.name not in ignored]
        return SoftState(tuple(_scored(c, pod, query.cluster, counted) for c in constraints), ignored)

    def score(self, state: SoftState, pod: Pod, info: NodeInfo) -> float:
        """Pods already there, a domain's pods weighing more the more domains there are; lower is better."""
        if info.node.name in state.ignored:
            return 0
        total = 0.0
        for scored in state.scored:
            value = info.node.labels.get(scored.constraint.key)
            if value is not None:
                where = info.node.name if scored.constraint.key == HOSTNAME else value
                total += scored.counts.get(where, 0) * scored.weight + scored.constraint.max_skew - 1
        return round(total)

    def normalize(self, state: SoftState, scores: Mapping[str, float]) -> Mapping[str, float]:
        """Turned round: the fewest pods get the most, in steps of the highest raw score; ignored nodes 0."""
        known = [value for name, value in scores.items() if name not in state.ignored]
        low, high = min(known, default=0), max(known, default=0)
        result = {}
        for name, value in scores.items():
            if name in state.ignored:
                result[name] = 0.0
            else:
                result[name] = MAX_SCORE * (high + low - value) // high if high else float(MAX_SCORE)
        return result


def _includes(c: Spread, pod: Pod, node: Node) -> bool:
    if c.honor_affinity and not matches(pod, node):
        return False
    return not (c.honor_taints and node.taints and untolerated(pod, node.taints))


def _domains(c: Spread, keys: Sequence[str], pod: Pod, cluster: Cluster) -> Domains:
    per_node = cluster.matching_selector(pod.namespace, c.selector)
    counts: Counts = {}
    for name, info in cluster.nodes.items():
        labels = info.node.labels
        if all(k in labels for k in keys) and _includes(c, pod, info.node):
            counts[labels[c.key]] = counts.get(labels[c.key], 0) + per_node.get(name, 0)
    # With fewer domains than asked for, an empty one is imagined (minDomains).
    lowest = 0 if len(counts) < c.min_domains else min(counts.values())
    return Domains(c, counts, lowest, int(c.selector.matches(pod.labels)))


def _defaults(pod: Pod, query: Query) -> list[Spread]:
    selector = query.workloads.selector_of(pod)
    if selector is None:
        return []
    return [Spread(key, skew, selector, hard=False) for key, skew in DEFAULTS]


def _scored(c: Spread, pod: Pod, cluster: Cluster, nodes: Sequence[NodeInfo]) -> Scored:
    per_node = cluster.matching_selector(pod.namespace, c.selector)
    if c.key == HOSTNAME:
        return Scored(c, per_node, math.log(len(nodes) + 2))
    values = {info.node.labels[c.key] for info in nodes if c.key in info.node.labels}
    counts: Counts = {}
    for name, count in per_node.items():
        info = cluster.nodes.get(name)
        value = info.node.labels.get(c.key) if info else None
        if info is not None and value in values and value is not None and _includes(c, pod, info.node):
            counts[value] = counts.get(value, 0) + count
    return Scored(c, counts, math.log(len(values) + 2))

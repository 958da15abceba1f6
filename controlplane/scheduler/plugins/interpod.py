"""InterPodAffinity: pods that want to be near or away from other pods, judged by label values of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.scheduler.cluster import Cluster, NodeInfo
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import MAX_SCORE, SKIP, Change, Plugin, Query, Rejection

NO_FRIEND = Rejection("node(s) didn't match pod affinity rules", unresolvable=True)
FOE = Rejection("node(s) didn't match pod anti-affinity rules")
UNWELCOME = Rejection("node(s) didn't satisfy existing pods anti-affinity rules")

Places = dict[tuple[str, str], int]
"""(label key, label value) to a number of pods or a weight."""


@dataclass(frozen=True)
class HardState:
    """What `filter` looks up, all counts of pods by place: those the pod must be near, those it must not, those that
    must not have it near. `first`: no friend exists yet and the pod is its own.
    """

    friends: Places
    foes: Places
    unwelcome: Places
    first: bool


def places(counts: Mapping[str, int], key: str, cluster: Cluster, weight: int = 1) -> Places:
    """Pods counted by node, added up by the value of a node label."""
    total: Places = {}
    for name, count in counts.items():
        info = cluster.nodes.get(name)
        value = info.node.labels.get(key) if info else None
        if value is not None:
            total[key, value] = total.get((key, value), 0) + count * weight
    return total


def _merge(total: Places, more: Places) -> None:
    for place, amount in more.items():
        total[place] = total.get(place, 0) + amount


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    helped_by = frozenset(
        (Change.NODE_ADDED, Change.NODE_LABELS, Change.POD_REMOVED, Change.POD_PLACED, Change.POD_UPDATED)
    )

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """HardState, or SKIP where neither the pod nor any pod that runs has a required term about the other."""
        cluster, wishes = query.cluster, pod.affinity
        unwelcome: Places = {}
        for term in cluster.forbidding():
            if term.term.selects(pod.namespace, pod.labels):
                _merge(unwelcome, places(term.counts, term.term.key, cluster))
        if not unwelcome and not wishes.required and not wishes.anti_required:
            return SKIP
        friends: Places = {}
        first = False
        if wishes.required:
            # Only pods that satisfy every term count as friends; the first of a group may befriend itself.
            matching = cluster.matching(lambda ns, ls: all(t.selects(ns, ls) for t in wishes.required), None)
            for friend_term in wishes.required:
                _merge(friends, places(matching, friend_term.key, cluster))
            first = not friends and all(t.selects(pod.namespace, pod.labels) for t in wishes.required)
        foes: Places = {}
        for foe_term in wishes.anti_required:
            _merge(foes, places(cluster.matching_term(foe_term), foe_term.key, cluster))
        return HardState(friends, foes, unwelcome, first)

    def filter(self, state: HardState, pod: Pod, info: NodeInfo) -> Rejection | None:
        """Missing friends cannot be mended by removing pods (unresolvable); foes and unwelcoming pods can."""
        labels = info.node.labels
        for term in pod.affinity.required:
            value = labels.get(term.key)
            if value is None or not (state.first or state.friends.get((term.key, value))):
                return NO_FRIEND
        for term in pod.affinity.anti_required:
            value = labels.get(term.key)
            if value is not None and state.foes.get((term.key, value)):
                return FOE
        if any(labels.get(key) == value for key, value in state.unwelcome):
            return UNWELCOME
        return None

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        """Weights by place, from the pod's preferred terms and from those that running pods have about it.

        A running pod's required affinity counts as a preference too (hardPodAffinityWeight, 1 by default).
        """
        cluster = query.cluster
        total: Places = {}
        for term in pod.affinity.preferred:
            _merge(total, places(cluster.matching_term(term), term.key, cluster, term.weight))
        for term in pod.affinity.anti_preferred:
            _merge(total, places(cluster.matching_term(term), term.key, cluster, -term.weight))
        for kept in cluster.preferring():
            if kept.term.selects(pod.namespace, pod.labels):
                _merge(total, places(kept.counts, kept.term.key, cluster, kept.weight))
        return total or SKIP

    def score(self, state: Places, pod: Pod, info: NodeInfo) -> float:
        """The sum of the weights of every place the node is in; may be negative."""
        return sum(weight for (key, value), weight in state.items() if info.node.labels.get(key) == value)

    def normalize(self, state: Places, scores: Mapping[str, float]) -> Mapping[str, float]:
        """Lowest to 0, highest to MAX_SCORE; all 0 where no node differs from another."""
        low, high = min(scores.values()), max(scores.values())
        if low == high:
            return dict.fromkeys(scores, 0)
        return {name: int(MAX_SCORE * (value - low) / (high - low)) for name, value in scores.items()}

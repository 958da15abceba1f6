"""One scheduling decision: filter, score, choose. Pure; the cluster is only read (save its search cursor)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.scheduler.cluster import Cluster, NodeInfo
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Plugin, Profile, Query, Rejection

# Small clusters are searched whole; large ones until enough nodes fit (upstream's adaptive percentage).
ALWAYS_SEARCHED = 100
LOWEST_PERCENTAGE = 5

Filters = tuple[tuple[Plugin, Any], ...]
"""Plugins that take part in filtering this pod, each with its state."""


@dataclass(frozen=True)
class Decision:
    """Either `node` is set, or `rejections` says by node name why none is.

    `plugins` names the plugins that refused the pod somewhere; `evaluated` counts nodes looked at.
    """

    node: str = ""
    rejections: Mapping[str, Rejection] = field(default_factory=dict)
    plugins: frozenset[str] = frozenset()
    evaluated: int = 0
    feasible: int = 0
    filters: Filters = ()
    everywhere: str = ""


def decide(pod: Pod, profile: Profile, query: Query, tie_break: int = 0) -> Decision:
    """Choose a node. `tie_break` picks among nodes of equal score: the caller owns the randomness."""
    cluster = query.cluster
    filters: list[tuple[Plugin, Any]] = []
    for plugin in profile.filters:
        state = plugin.pre_filter(pod, query)
        if isinstance(state, Rejection):
            refused = dict.fromkeys(cluster.nodes, state)
            return Decision(rejections=refused, plugins=frozenset((plugin.name,)), everywhere=state.reason)
        if state is not SKIP:
            filters.append((plugin, state))
    if not cluster.nodes:
        return Decision()
    chosen = tuple(filters)
    feasible, rejections, plugins = _find(pod, chosen, cluster)
    evaluated = len(feasible) + len(rejections)
    if not feasible:
        return Decision("", rejections, frozenset(plugins), evaluated, 0, chosen)
    scores = score(pod, profile, query, feasible) if len(feasible) > 1 else {feasible[0].node.name: 0.0}
    top = max(scores.values())
    best = [name for name, value in scores.items() if value == top]
    return Decision(best[tie_break % len(best)], rejections, frozenset(plugins), evaluated, len(feasible), chosen)


def refuse(pod: Pod, filters: Filters, info: NodeInfo) -> tuple[Plugin, Rejection] | None:
    """The first plugin that refuses the node and why."""
    for plugin, state in filters:
        rejection = plugin.filter(state, pod, info)
        if rejection is not None:
            return plugin, rejection
    return None


def wanted(total: int) -> int:
    """How many fitting nodes are enough: all of 100, 50 % less one per 125 nodes beyond, never under 5 %."""
    if total <= ALWAYS_SEARCHED:
        return total
    percentage = max(50 - total // 125, LOWEST_PERCENTAGE)
    return max(total * percentage // 100, ALWAYS_SEARCHED)


def _find(pod: Pod, filters: Filters, cluster: Cluster) -> tuple[list[NodeInfo], dict[str, Rejection], set[str]]:
    feasible: list[NodeInfo] = []
    rejections: dict[str, Rejection] = {}
    plugins: set[str] = set()
    total = len(cluster.nodes)
    enough = wanted(total)
    looked = 0
    for info in _from_cursor(cluster, enough < total):
        looked += 1
        refused = refuse(pod, filters, info)
        if refused is None:
            feasible.append(info)
            if len(feasible) >= enough:
                break
        else:
            plugins.add(refused[0].name)
            rejections[info.node.name] = refused[1]
    # The next search starts where this one stopped, so that all nodes get their turn.
    cluster.cursor = (cluster.cursor + looked) % total
    return feasible, rejections, plugins


def _from_cursor(cluster: Cluster, partial: bool) -> Iterable[NodeInfo]:
    if not partial:
        return cluster.nodes.values()
    infos = list(cluster.nodes.values())
    start = cluster.cursor % len(infos)
    return infos[start:] + infos[:start]


def score(pod: Pod, profile: Profile, query: Query, nodes: list[NodeInfo]) -> dict[str, float]:
    """Weighted sum of the plugins' normalized scores by node name."""
    totals = {info.node.name: 0.0 for info in nodes}
    for plugin, weight in profile.scorers:
        state = plugin.pre_score(pod, query, nodes)
        if state is SKIP:
            continue
        raw = {info.node.name: plugin.score(state, pod, info) for info in nodes}
        for name, value in plugin.normalize(state, raw).items():
            totals[name] += weight * value
    return totals


def explain(decision: Decision, nodes: int, preemption: str = "") -> str:
    """Upstream's FailedScheduling text: `0/3 nodes are available: 3 Insufficient cpu. preemption: …`."""
    if not nodes:
        return "no nodes available to schedule pods"
    if decision.everywhere:
        text = f"0/{nodes} nodes are available: {decision.everywhere}."
    else:
        reasons = Counter(
            reason for rejection in decision.rejections.values() for reason in rejection.reason.split("\n")
        )
        listed = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
        text = f"0/{nodes} nodes are available: {listed}."
    return f"{text} {preemption}" if preemption else text

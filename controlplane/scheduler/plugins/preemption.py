"""DefaultPreemption: for a pod that fits nowhere, the node where removing pods of lower priority harms least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.scheduler.candidates import Candidate, by_harm, by_importance
from controlplane.scheduler.cycle import blocked, counting
from controlplane.scheduler.explain import listing
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import Filters, Found, Plugin, Profile, Query, Refusing, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.surroundings import Budget

NO_VICTIMS = "No preemption victims found for incoming pod"
USELESS = "Preemption is not helpful for scheduling"


@dataclass(frozen=True)
class PreemptionArgs:
    """Arguments of the plugin. Raises ValueError, naming the field."""

    min_candidate_nodes_percentage: int = 10
    """So many of the nodes that come into question are tried for a pod,"""
    min_candidate_nodes_absolute: int = 100
    """but at least so many."""

    def __post_init__(self) -> None:
        percentage, absolute = self.min_candidate_nodes_percentage, self.min_candidate_nodes_absolute
        if not 0 <= percentage <= 100:
            raise ValueError(f"minCandidateNodesPercentage: {percentage}: not in valid range [0, 100]")
        if absolute < 0:
            raise ValueError(f"minCandidateNodesAbsolute: {absolute}: not in valid range [0, inf)")
        if percentage == absolute == 0:
            text = "cannot be zero at the same time as minCandidateNodesAbsolute"
            raise ValueError(f"minCandidateNodesPercentage: {text}")


class DefaultPreemption(Plugin):
    name = "DefaultPreemption"

    def __init__(self, args: PreemptionArgs | None = None) -> None:
        self._args = args or PreemptionArgs()

    def sign(self, pod: Pod) -> tuple[()]:
        return ()

    def post_filter(self, pod: Pod, profile: Profile, query: Query, decision: Refusing) -> Found:
        """Reads the cluster and changes nothing of it."""
        if pod.never_preempts:
            return Found("preemption: not eligible due to preemptionPolicy=Never.")
        if _is_waiting(pod, query, decision):
            return Found("preemption: not eligible due to a terminating pod on the nominated node.")
        candidates, reasons = self._candidates(pod, query, decision)
        if not candidates:
            total = len(query.cluster.nodes)
            text = f"preemption: 0/{total} nodes are available: {listing(reasons)}."
            return Found(text, clear=True)
        return Found(candidates=by_harm(candidates))

    def _candidates(self, pod: Pod, query: Query, decision: Refusing) -> tuple[list[Candidate], Counter[str]]:
        """Nodes where it would work, enough of them, and why the others are none."""
        cluster, reasons = query.cluster, Counter[str]()
        if not decision.filters:
            # It was refused before any node was looked at; what would help is not known.
            reasons[USELESS] = len(cluster.nodes)
            return [], reasons
        hopeful = [name for name in cluster.order() if _is_hopeful(decision, name)]
        reasons[USELESS] += len(cluster.nodes) - len(hopeful)
        args = self._args
        enough = max(len(hopeful) * args.min_candidate_nodes_percentage // 100, args.min_candidate_nodes_absolute)
        start = cluster.cursor % len(hopeful) if hopeful else 0
        clean: list[Candidate] = []
        costly: list[Candidate] = []
        for name in (*hopeful[start:], *hopeful[:start]):
            found = victims_on(pod, query, decision.filters, cluster.nodes[name])
            if isinstance(found, Candidate) and found.victims:
                (costly if found.violations else clean).append(found)
                if clean and len(clean) + len(costly) >= enough:
                    break
            elif isinstance(found, Rejection):
                reasons.update(found.reason.split("\n"))
        return clean + costly, +reasons


def _is_hopeful(decision: Refusing, name: str) -> bool:
    rejection = decision.rejections.get(name, decision.absent)
    return rejection is not None and not rejection.unresolvable


def _is_waiting(pod: Pod, query: Query, decision: Refusing) -> bool:
    """Whether pods are on their way out for this one already, on a node that is not out of the question meanwhile."""
    nominated = query.cluster.nominated.node_of(pod.uid) or pod.nominated
    info = query.cluster.nodes.get(nominated)
    if info is None or not _is_hopeful(decision, nominated):
        return False
    return any(other.preempted and other.priority < pod.priority for other in info.pods.values())


def victims_on(pod: Pod, query: Query, filters: Filters, info: NodeInfo) -> Candidate | Rejection:
    """The fewest pods to remove from a node: all of lower priority, less those that may stay after all: first those
    that a budget protects, of each kind the most important first.
    """
    lower = [other for other in info.pods.values() if other.priority < pod.priority]
    if not lower:
        return Rejection(NO_VICTIMS, unresolvable=True)
    for other in lower:
        info = info.without(other)
        filters = counting(filters, pod, other, info, -1)
    refusal = blocked(pod, filters, query.cluster, info)
    if refusal is not None:
        return refusal[1]
    protected, free = _by_budget(by_importance(lower), query)
    victims: list[Pod] = []
    violations = 0
    for other in (*protected, *free):
        fuller = info.with_pod(other)
        more = counting(filters, pod, other, fuller, 1)
        if blocked(pod, more, query.cluster, fuller) is None:
            info, filters = fuller, more
        else:
            victims.append(other)
            violations += other in protected
    return Candidate(info.node.name, by_importance(victims), violations)


def _by_budget(pods: Iterable[Pod], query: Query) -> tuple[list[Pod], list[Pod]]:
    """Those whose going a disruption budget does not allow, and the others, in the same order."""
    left: dict[str, list[tuple[Budget, list[int]]]] = {}
    protected: list[Pod] = []
    free: list[Pod] = []
    for pod in pods:
        if pod.namespace not in left:
            left[pod.namespace] = [(budget, [budget.allowed]) for budget in query.budgets.of(pod.namespace)]
        violates = False
        for budget, allowed in left[pod.namespace] if pod.labels else ():
            if budget.selector.matches(pod.labels) and pod.name not in budget.gone:
                allowed[0] -= 1
                violates = violates or allowed[0] < 0
        (protected if violates else free).append(pod)
    return protected, free

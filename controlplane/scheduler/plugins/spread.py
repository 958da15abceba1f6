"""PodTopologySpread: keeps the pods a selector counts evenly over the values of a node label (KEP-895)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from apimachinery.objects import Obj
from apimachinery.selectors import LabelSelector
from controlplane.scheduler.changes import NODE_CHANGES, Change, Event
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.extract import HOSTNAME, Node, Pod
from controlplane.scheduler.framework import MAX_SCORE, SKIP, Plugin, Query, Rejection
from controlplane.scheduler.likeness import Likeness, by_domain, by_label, by_pods
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.plugins.node_affinity import matches
from controlplane.scheduler.plugins.taints import untolerated
from controlplane.scheduler.tally import Domains, Tally
from controlplane.scheduler.terms import Spread, text

ZONE = "topology.kubernetes.io/zone"
# What upstream's system defaults say for pods that state nothing: (label, maxSkew), both ScheduleAnyway.
DEFAULTS = ((HOSTNAME, 3), (ZONE, 5))
NO_LABEL = Rejection("node(s) didn't match pod topology spread constraints (missing required label)", True)
SKEWED = Rejection("node(s) didn't match pod topology spread constraints")


@dataclass(frozen=True)
class SpreadArgs:
    """Arguments of the plugin. Raises ValueError, naming the field."""

    default_constraints: tuple[Obj, ...] = ()
    """TopologySpreadConstraints without a selector, for pods that state none; with defaultingType List."""
    defaulting_type: str = "System"
    """System | List"""

    def __post_init__(self) -> None:
        if self.defaulting_type not in ("System", "List"):
            raise ValueError(f"defaultingType: {self.defaulting_type!r} is not known; use List or System")
        if self.defaulting_type == "System" and self.default_constraints:
            raise ValueError("defaultConstraints: leave them out where defaultingType is System, or say List")
        for number, c in enumerate(self.default_constraints):
            where = f"defaultConstraints[{number}]"
            if (c.get("maxSkew") or 0) <= 0:
                raise ValueError(f"{where}.maxSkew: {c.get('maxSkew')}: not in valid range (0, inf)")
            if not c.get("topologyKey"):
                raise ValueError(f"{where}.topologyKey: say which label of nodes")
            if c.get("whenUnsatisfiable") not in ("DoNotSchedule", "ScheduleAnyway"):
                raise ValueError(f"{where}.whenUnsatisfiable: use DoNotSchedule or ScheduleAnyway")
            if "labelSelector" in c:
                text = "constraint must not define a selector, as they deduced for each pod"
                raise ValueError(f"{where}.labelSelector: {text}")


@dataclass(frozen=True)
class Hard:
    """One DoNotSchedule constraint with the pods by label value; `changed`: more or fewer of them than there are."""

    constraint: Spread
    domains: Domains
    itself: int
    changed: Mapping[str, int] = field(default_factory=dict)

    def counts(self) -> Mapping[str, int]:
        """Pods by label value."""
        counts = self.domains.counts
        if not self.changed:
            return counts
        return {**counts, **{value: counts.get(value, 0) + by for value, by in self.changed.items()}}

    def most(self) -> int:
        """How many pods a node's value may have before this one comes."""
        # With fewer domains than asked for, an empty one is imagined (minDomains).
        short = len(self.domains.counts) < self.constraint.min_domains
        lowest = 0 if short else self.domains.lowest(self.changed)
        return lowest + self.constraint.max_skew - self.itself


@dataclass(frozen=True)
class Checked:
    """State of `filter`: a constraint with the most pods that a value may have, reckoned once for all nodes."""

    hard: Hard
    most: int


@dataclass(frozen=True)
class Scored:
    """One soft constraint: pods by label value (by node for the host name), and the weight of one."""

    constraint: Spread
    counts: Mapping[str, int]
    weight: float


@dataclass(frozen=True)
class SoftState:
    """Soft constraints as counted for all nodes; `ignored` nodes lack a label and come last."""

    scored: tuple[Scored, ...]
    ignored: frozenset[str]


class PodTopologySpread(Plugin):
    name = "PodTopologySpread"
    helped_by = frozenset(
        (*NODE_CHANGES, Change.NODE_REMOVED, Change.POD_REMOVED, Change.POD_PLACED, Change.POD_UPDATED)
    )

    def __init__(self, args: SpreadArgs | None = None) -> None:
        args = args or SpreadArgs()
        self._system = args.defaulting_type == "System"
        self._defaults = [Spread(key, skew, LabelSelector(), hard=False) for key, skew in DEFAULTS]
        if not self._system:
            self._defaults = [
                Spread(c["topologyKey"], c["maxSkew"], LabelSelector(), c["whenUnsatisfiable"] == "DoNotSchedule")
                for c in args.default_constraints
            ]

    def may_help(self, pod: Pod, event: Event) -> bool:
        """Nodes with the labels, and pods that are counted, may change the skew."""
        if event.node is not None:
            return not pod.spread or all(c.key in event.node.labels for c in pod.spread)
        counted = [other for other in (event.old, event.pod) if other is not None]
        if not counted or not pod.spread:
            return True
        return any(
            other.namespace == pod.namespace and c.selector.matches(other.labels)
            for other in counted
            for c in pod.spread
        )

    def _constraints(self, pod: Pod, query: Query, hard: bool) -> list[Spread]:
        """The pod's own of that kind, or the defaults for a pod that states nothing, counting what belongs with it."""
        if pod.spread:
            return [c for c in pod.spread if c.hard == hard]
        wanted = [c for c in self._defaults if c.hard == hard]
        selector = query.workloads.selector_of(pod) if wanted else None
        if selector is None:
            return []
        identity = text(selector)
        return [replace(c, selector=selector, identity=identity) for c in wanted]

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """A Checked for each DoNotSchedule constraint; SKIP without any."""
        hard = self._constraints(pod, query, hard=True)
        if not hard:
            return SKIP
        keys = [c.key for c in hard]
        return tuple(_checked(_hard(c, keys, pod, query.cluster)) for c in hard)

    def filter(self, state: Sequence[Checked], pod: Pod, info: NodeInfo) -> Rejection | None:
        """Skew is the pods of this domain, with this one, less those of the emptiest; maxSkew bounds it."""
        return self.filters(state, pod, (info,))[0]

    def filters(self, state: Sequence[Checked], pod: Pod, nodes: Sequence[NodeInfo]) -> Sequence[Rejection | None]:
        answers: list[Rejection | None] = [None] * len(nodes)
        for checked in state:
            key, most, counts = checked.hard.constraint.key, checked.most, checked.hard.counts()
            values = (i.node.labels.get(key) for i in nodes)
            found = (NO_LABEL if v is None else SKEWED if counts.get(v, 0) > most else None for v in values)
            answers = [first or later for first, later in zip(answers, found, strict=True)]
        return answers

    def counting(self, state: Any, pod: Pod, other: Pod, info: NodeInfo, sign: int) -> Any:
        if state is SKIP or state is None or other.deleting or other.namespace != pod.namespace:
            return state
        return tuple(_counting(checked, other, info, sign) for checked in state)

    def likeness(self, pod: Pod, query: Query) -> Sequence[Likeness]:
        """What is counted for a node's label values; on the node itself where hosts are preferred."""
        hard = self._constraints(pod, query, hard=True)
        keys = [c.key for c in hard]
        found = [by_domain(c.key, _domains(c, keys, pod, query.cluster)) for c in hard]
        for c in self._constraints(pod, query, hard=False):
            found.append(by_pods(c.key, _tally(c, pod, query.cluster)) if c.key == HOSTNAME else by_label(c.key))
        return found

    def judges(self, pod: Pod, query: Query) -> bool:
        return bool(self._constraints(pod, query, hard=False))

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        """SoftState from the ScheduleAnyway constraints.

        Upstream's defaults leave no node out: where a label is missing its constraint just says nothing.
        """
        constraints = self._constraints(pod, query, hard=False)
        if not constraints:
            return SKIP
        ignored: frozenset[str] = frozenset()
        keys = [c.key for c in constraints]
        demanding = bool(pod.spread) or not self._system
        counted = nodes
        if demanding:
            ignored = frozenset(i.node.name for i in nodes if any(k not in i.node.labels for k in keys))
            counted = [i for i in nodes if i.node.name not in ignored] if ignored else nodes
        needed = keys if demanding else []
        return SoftState(tuple(_scored(c, needed, pod, query, counted) for c in constraints), ignored)

    def scores(self, state: SoftState, pod: Pod, nodes: Sequence[NodeInfo]) -> Sequence[float]:
        """Pods already there, a domain's pods weighing more the more domains there are; lower is better."""
        totals = [0.0] * len(nodes)
        for scored in state.scored:
            totals = [total + more for total, more in zip(totals, _points(scored, nodes), strict=True)]
        if state.ignored:
            totals = [0.0 if i.node.name in state.ignored else t for i, t in zip(nodes, totals, strict=True)]
        return [int(total + 0.5) for total in totals]

    def normalize(self, state: SoftState, nodes: Sequence[NodeInfo], scores: Sequence[float]) -> Sequence[float]:
        """Turned round: the fewest pods get the most, in steps of the highest raw score; ignored nodes 0."""
        if not state.ignored:
            return _turned(scores)
        known = [value for info, value in zip(nodes, scores, strict=True) if info.node.name not in state.ignored]
        turned = iter(_turned(known))
        return [0 if info.node.name in state.ignored else next(turned) for info in nodes]


def _turned(scores: Sequence[float]) -> list[float]:
    low, high = min(scores, default=0), max(scores, default=0)
    if not high:
        return [MAX_SCORE] * len(scores)
    known = {value: MAX_SCORE * (high + low - value) // high for value in set(scores)}
    return [known[value] for value in scores]


def _tally(c: Spread, pod: Pod, cluster: Cluster) -> Tally:
    """Pods of the namespace that the constraint counts: none on their way out, and an empty selector counts none."""
    selector = c.selector

    def selects(namespace: str, labels: Mapping[str, str]) -> bool:
        return namespace == pod.namespace and not selector.empty and selector.matches(labels)

    return cluster.tally(f"spread {pod.namespace} {c.identity}", selects, deleting=False)


def _domains(c: Spread, keys: Sequence[str], pod: Pod, cluster: Cluster) -> Domains:
    """The pods by the constraint's label, over nodes with all of `keys` that the pod's own choice includes."""

    def values() -> Mapping[str, str]:
        found: dict[str, str] = {}
        for name, info in cluster.nodes.items():
            labels = info.node.labels
            if c.key in labels and all(key in labels for key in keys) and _includes(c, pod, info.node):
                found[name] = labels[c.key]
        return found

    chosen = (frozenset(pod.node_selector.items()), pod.node_required) if c.honor_affinity else None
    question = (c.key, tuple(keys), chosen, pod.tolerations if c.honor_taints else None)
    return _tally(c, pod, cluster).domains(question, cluster.epoch, values)


def _includes(c: Spread, pod: Pod, node: Node) -> bool:
    if c.honor_affinity and not matches(pod, node):
        return False
    return not (c.honor_taints and node.taints and untolerated(pod, node.taints))


def _hard(c: Spread, keys: Sequence[str], pod: Pod, cluster: Cluster) -> Hard:
    return Hard(c, _domains(c, keys, pod, cluster), int(c.selector.matches(pod.labels)))


def _checked(hard: Hard) -> Checked:
    return Checked(hard, hard.most())


def _counting(checked: Checked, other: Pod, info: NodeInfo, sign: int) -> Checked:
    hard = checked.hard
    value = hard.domains.value(info.node.name)
    if value is None or hard.constraint.selector.empty or not hard.constraint.selector.matches(other.labels):
        return checked
    return _checked(replace(hard, changed={**hard.changed, value: hard.changed.get(value, 0) + sign}))


def _points(scored: Scored, nodes: Sequence[NodeInfo]) -> list[float]:
    """What one constraint adds to each node's score; nothing where its label is missing."""
    key, counts, weight = scored.constraint.key, scored.counts, scored.weight
    base = scored.constraint.max_skew - 1
    if key == HOSTNAME:
        return [counts.get(i.node.name, 0) * weight + base if key in i.node.labels else 0.0 for i in nodes]
    values = (i.node.labels.get(key) for i in nodes)
    return [0.0 if value is None else counts.get(value, 0) * weight + base for value in values]


def _scored(c: Spread, keys: Sequence[str], pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Scored:
    cluster = query.cluster
    if c.key == HOSTNAME:
        hosts = sum(query.standing.get(info.node.name, 1) for info in nodes) if query.standing else len(nodes)
        return Scored(c, _tally(c, pod, cluster).nodes, math.log(hosts + 2))
    values = {info.node.labels.get(c.key, "") for info in nodes}
    return Scored(c, _domains(c, keys, pod, cluster).counts, math.log(len(values) + 2))

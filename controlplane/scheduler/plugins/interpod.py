"""InterPodAffinity: pods that want to be near or away from other pods, judged by label values of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import MAX_SCORE, SKIP, Plugin, Query, Rejection
from controlplane.scheduler.likeness import Likeness, by_domain
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.tally import Domains, Tally
from controlplane.scheduler.terms import PodTerm

NO_FRIEND = Rejection("node(s) didn't match pod affinity rules", unresolvable=True)
FOE = Rejection("node(s) didn't match pod anti-affinity rules")
UNWELCOME = Rejection("node(s) didn't satisfy existing pods anti-affinity rules")


@dataclass(frozen=True)
class InterPodAffinityArgs:
    """Arguments of the plugin. Raises ValueError, naming the field."""

    hard_pod_affinity_weight: int = 1
    """Weight of the required affinity of pods that run, as a preference about pods that come."""
    ignore_preferred_terms_of_existing_pods: bool = False
    """For pods without preferences of their own."""

    def __post_init__(self) -> None:
        if not 0 <= self.hard_pod_affinity_weight <= 100:
            raise ValueError(f"hardPodAffinityWeight: {self.hard_pod_affinity_weight}: not in valid range [0-100]")


@dataclass(frozen=True)
class Places:
    """Pods by the values of one node label; `changed`: more or fewer of them than are counted."""

    key: str
    domains: Domains
    changed: Mapping[str, int] = field(default_factory=dict)

    def there(self) -> AbstractSet[str]:
        """The values at which pods are."""
        return _there((self.domains,), self.changed)

    def any(self) -> bool:
        """Whether a pod is counted anywhere."""
        return self.domains.total + sum(self.changed.values()) > 0

    def plus(self, info: NodeInfo, by: int) -> Places:
        """The same with so many more at the node's place."""
        value = info.node.labels.get(self.key)
        if value is None:
            return self
        return replace(self, changed={**self.changed, value: self.changed.get(value, 0) + by})


@dataclass(frozen=True)
class HardState:
    """What `filter` looks up: where pods are that the pod must be near, that it must not, and that must not have it
    near.

    `friends` count only pods that every required term means. `first`: there is none yet, and the pod is its own.
    `unwelcome`: unwelcoming pods, by label; `changed` are more or fewer of those, by label and value.
    """

    friends: tuple[Places, ...]
    foes: tuple[Places, ...]
    unwelcome: Mapping[str, Sequence[Domains]]
    itself: bool
    first: bool
    spaces: Mapping[str, Mapping[str, str]]
    changed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    helped_by = frozenset(
        (
            Change.NODE_ADDED,
            Change.NODE_LABELS,
            Change.POD_REMOVED,
            Change.POD_PLACED,
            Change.POD_UPDATED,
            Change.NAMESPACE,
        )
    )

    def __init__(self, args: InterPodAffinityArgs | None = None) -> None:
        self._args = args or InterPodAffinityArgs()

    def may_help(self, pod: Pod, event: Event) -> bool:
        """A node needs one of the labels; a pod that comes must be wanted near, one that goes must have been in the
        way.
        """
        terms = (*pod.affinity.required, *pod.affinity.anti_required)
        if event.node is not None:
            return not terms or any(term.key in event.node.labels for term in terms)
        if event.change is Change.POD_PLACED and event.pod is not None:
            # Whether a term's namespaceSelector means the pod's namespace is left to the next attempt.
            other = event.pod
            return any(
                term.selector.matches(other.labels)
                and (term.namespace_selector is not None or other.namespace in term.namespaces)
                for term in pod.affinity.required
            )
        return True

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """HardState, or SKIP where neither the pod nor any pod that runs has a required term about the other."""
        cluster, wishes = query.cluster, pod.affinity
        about = cluster.terms_about(pod)[0]
        if not about and not wishes.required and not wishes.anti_required:
            return SKIP
        unwelcome: dict[str, list[Domains]] = {}
        for kept in about:
            key = kept.term.key
            unwelcome.setdefault(key, []).append(_places(kept.tally, key, cluster).domains)
        friends: tuple[Places, ...] = ()
        itself = False
        if wishes.required:
            tally = _matching_all(wishes.required, cluster)
            friends = tuple(_places(tally, term.key, cluster) for term in wishes.required)
            labels = cluster.spaces.get(pod.namespace, {})
            itself = all(term.selects(pod.namespace, pod.labels, labels) for term in wishes.required)
        foes = tuple(_places(cluster.matching_term(t), t.key, cluster) for t in wishes.anti_required)
        return HardState(friends, foes, unwelcome, itself, _is_first(friends, itself), cluster.spaces)

    def filter(self, state: HardState, pod: Pod, info: NodeInfo) -> Rejection | None:
        """Missing friends cannot be mended by removing pods (unresolvable); foes and unwelcoming pods can."""
        return self.filters(state, pod, (info,))[0]

    def filters(self, state: HardState, pod: Pod, nodes: Sequence[NodeInfo]) -> Sequence[Rejection | None]:
        answers: list[Rejection | None] = [None] * len(nodes)
        for places in state.friends:
            key, there = places.key, places.there()
            if state.first:
                answers = [NO_FRIEND if key not in i.node.labels else a for i, a in zip(nodes, answers, strict=True)]
            else:
                found = (i.node.labels.get(key) in there for i in nodes)
                answers = [a if near else NO_FRIEND for near, a in zip(found, answers, strict=True)]
        foes = [(places.key, places.there(), FOE) for places in state.foes]
        foes += [(key, _there(all_, state.changed.get(key, {})), UNWELCOME) for key, all_ in state.unwelcome.items()]
        for key, there, answer in foes:
            found = (i.node.labels.get(key) in there for i in nodes)
            answers = [a or (answer if near else None) for near, a in zip(found, answers, strict=True)]
        return answers

    def counting(self, state: Any, pod: Pod, other: Pod, info: NodeInfo, sign: int) -> Any:
        if not isinstance(state, HardState):
            return state
        wishes, labels = pod.affinity, state.spaces.get(other.namespace, {})
        friends = state.friends
        if friends and all(t.selects(other.namespace, other.labels, labels) for t in wishes.required):
            friends = tuple(places.plus(info, sign) for places in friends)
        foes = tuple(
            places.plus(info, sign) if term.selects(other.namespace, other.labels, labels) else places
            for term, places in zip(wishes.anti_required, state.foes, strict=True)
        )
        unwelcome, changed = dict(state.unwelcome), dict(state.changed)
        for term in other.affinity.anti_required:
            value = info.node.labels.get(term.key)
            if value is not None and term.selects(pod.namespace, pod.labels, state.spaces.get(pod.namespace, {})):
                unwelcome.setdefault(term.key, ())
                there = changed.get(term.key, {})
                changed[term.key] = {**there, value: there.get(value, 0) + sign}
        first = _is_first(friends, state.itself)
        return replace(state, friends=friends, foes=foes, unwelcome=unwelcome, first=first, changed=changed)

    def likeness(self, pod: Pod, query: Query) -> Sequence[Likeness]:
        """What is counted for a node's label values: the pods that the pod's own terms mean, and those whose terms
        mean it.
        """
        cluster, wishes = query.cluster, pod.affinity
        counted = [(kept.term.key, kept.tally) for terms in cluster.terms_about(pod) for kept in terms]
        if wishes.required:
            friends = _matching_all(wishes.required, cluster)
            counted += [(term.key, friends) for term in wishes.required]
        others = (*wishes.anti_required, *wishes.preferred, *wishes.anti_preferred)
        counted += [(term.key, cluster.matching_term(term)) for term in others]
        return [by_domain(key, _places(tally, key, cluster).domains) for key, tally in counted]

    def judges(self, pod: Pod, query: Query) -> bool:
        wishes = pod.affinity
        return bool(wishes.preferred or wishes.anti_preferred or query.cluster.terms_about(pod)[1])

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        """Weights by label and value, from the pod's preferred terms and from those that running pods have about it."""
        cluster, wishes = query.cluster, pod.affinity
        own = [(term, term.weight) for term in wishes.preferred] + [(t, -t.weight) for t in wishes.anti_preferred]
        weighted = [(_places(cluster.matching_term(term), term.key, cluster), weight) for term, weight in own]
        if own or not self._args.ignore_preferred_terms_of_existing_pods:
            for kept in cluster.terms_about(pod)[1]:
                weight = kept.weight or self._args.hard_pod_affinity_weight
                if weight:
                    weighted.append((_places(kept.tally, kept.term.key, cluster), weight))
        weighted = [(places, weight) for places, weight in weighted if places.domains.total]
        if not weighted:
            return SKIP
        return [(places.key, places.domains.counts, weight) for places, weight in weighted]

    def scores(self, state: Any, pod: Pod, nodes: Sequence[NodeInfo]) -> Sequence[float]:
        """The sum of the weights of every place a node is in; may be negative."""
        totals: list[float] = [0] * len(nodes)
        for key, counts, weight in state:
            found = (weight * counts.get(i.node.labels.get(key), 0) for i in nodes)
            totals = [total + more for total, more in zip(totals, found, strict=True)]
        return totals

    def normalize(self, state: Any, nodes: Sequence[NodeInfo], scores: Sequence[float]) -> Sequence[float]:
        """Lowest to 0, highest to MAX_SCORE; all 0 where no node differs from another."""
        low, high = min(scores), max(scores)
        if low == high:
            return [0] * len(scores)
        return [int(MAX_SCORE * ((value - low) / (high - low))) for value in scores]


def _there(counted: Sequence[Domains], changed: Mapping[str, int]) -> AbstractSet[str]:
    """The values at which pods are, in all that is counted, as if `changed` were added."""
    found: AbstractSet[str] = counted[0].there if len(counted) == 1 else set[str]().union(*(d.there for d in counted))
    if not changed:
        return found
    now = {value: by + sum(d.counts.get(value, 0) for d in counted) for value, by in changed.items()}
    return (found - now.keys()) | {value for value, count in now.items() if count > 0}


def _is_first(friends: Sequence[Places], itself: bool) -> bool:
    """The first of a group may befriend itself."""
    return itself and not any(places.any() for places in friends)


def _matching_all(terms: Sequence[PodTerm], cluster: Cluster) -> Tally:
    """Only pods that satisfy every required term count as friends."""

    def selects(namespace: str, labels: Mapping[str, str]) -> bool:
        spaces = cluster.spaces.get(namespace, {})
        return all(term.selects(namespace, labels, spaces) for term in terms)

    return cluster.tally(f"all of {[term.identity for term in terms]}", selects, deleting=True)


def _places(tally: Tally, key: str, cluster: Cluster) -> Places:
    def values() -> Mapping[str, str]:
        labelled = ((name, info.node.labels.get(key)) for name, info in cluster.nodes.items())
        return {name: value for name, value in labelled if value is not None}

    return Places(key, tally.domains(key, cluster.epoch, values))

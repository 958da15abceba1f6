"""What is on every node, kept by counting as pods and nodes come and go.

Placing a pod must not cost more because other pods exist, so nothing here walks all pods: requests are sums
per node, and pods with the same labels are one class with a count per node, which is all that topology spread
and inter-pod affinity ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from apimachinery.pods.requests import Amounts
from apimachinery.selectors import LabelSelector
from controlplane.scheduler.extract import Node, Pod, PodTerm

Counts = dict[str, int]
"""Node name to a number of pods, never zero."""


@dataclass(frozen=True)
class NodeInfo:
    """A node with the pods bound or assumed there. `requested` and `scored` have the units of Amounts."""

    node: Node
    pods: Mapping[str, Pod]
    requested: Amounts
    scored: Amounts
    ports: frozenset[tuple[str, str, int]]

    def with_pod(self, pod: Pod) -> NodeInfo:
        """The node with `pod` counted in, as a new value."""
        return replace(
            self,
            pods={**self.pods, pod.uid: pod},
            requested=_plus(self.requested, pod.requests, 1),
            scored=_plus(self.scored, pod.scored, 1),
            ports=self.ports | pod.ports,
        )

    def without(self, pod: Pod) -> NodeInfo:
        """The node with `pod` (which must be on it) counted out, as a new value."""
        pods = {uid: p for uid, p in self.pods.items() if uid != pod.uid}
        ports = self.ports
        if pod.ports:
            ports = frozenset(port for p in pods.values() for port in p.ports)
        return replace(
            self,
            pods=pods,
            requested=_plus(self.requested, pod.requests, -1),
            scored=_plus(self.scored, pod.scored, -1),
            ports=ports,
        )


@dataclass(frozen=True)
class Term:
    """One affinity term that placed pods carry. `weight` is negative for anti-affinity preferences."""

    term: PodTerm
    weight: int
    counts: Counts


class Cluster:
    """The scheduler's picture of nodes and placed pods; assumed pods count as placed."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self.cursor = 0
        self._unknown: dict[str, dict[str, Pod]] = {}
        self._placed: dict[str, Pod] = {}
        self._assumed: set[str] = set()
        self._classes: dict[str, dict[frozenset[tuple[str, str]], Counts]] = {}
        self._claims: dict[str, Counts] = {}
        self._forbidding: dict[str, Term] = {}
        self._preferring: dict[tuple[str, int], Term] = {}

    def set_node(self, node: Node) -> Node | None:
        """Learn a node or its change; answers the former view."""
        info = self.nodes.get(node.name)
        if info is not None:
            self.nodes[node.name] = replace(info, node=node)
            return info.node
        fresh = NodeInfo(node, {}, {}, {}, frozenset())
        for pod in self._unknown.pop(node.name, {}).values():
            fresh = fresh.with_pod(pod)
        self.nodes[node.name] = fresh
        return None

    def remove_node(self, name: str) -> None:
        """Forget a node; its pods stay counted, for they exist until their objects are gone."""
        info = self.nodes.pop(name, None)
        if info is not None and info.pods:
            self._unknown[name] = dict(info.pods)

    def place(self, pod: Pod) -> None:
        """A pod is bound to `pod.node_name`: confirm the assumption or learn it, replacing older views."""
        self._assumed.discard(pod.uid)
        old = self._placed.get(pod.uid)
        if old == pod:
            return
        if old is not None:
            self._count(old, -1)
        self._count(pod, 1)

    def remove(self, uid: str) -> Pod | None:
        """A placed or assumed pod is gone or finished; answers its last view."""
        self._assumed.discard(uid)
        pod = self._placed.get(uid)
        if pod is not None:
            self._count(pod, -1)
        return pod

    def assume(self, pod: Pod, node: str) -> None:
        """Count the pod on the node before its binding is written."""
        assumed = replace(pod, node_name=node)
        self._count(assumed, 1)
        self._assumed.add(pod.uid)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def placed(self, uid: str) -> Pod | None:
        return self._placed.get(uid)

    def claim_users(self, item: str) -> Counts:
        """Placed pods that use a claim (`namespace/name`), counted by node."""
        return self._claims.get(item, {})

    def matching(self, selects: Callable[[str, Mapping[str, str]], bool], namespaces: frozenset[str] | None) -> Counts:
        """Pods that are not being deleted, selected by (namespace, labels), counted by node."""
        total: Counts = {}
        for namespace in self._classes if namespaces is None else namespaces:
            for label_set, counts in self._classes.get(namespace, {}).items():
                if selects(namespace, dict(label_set)):
                    for node, count in counts.items():
                        total[node] = total.get(node, 0) + count
        return total

    def matching_selector(self, namespace: str, selector: LabelSelector) -> Counts:
        return self.matching(lambda _ns, labels: selector.matches(labels), frozenset((namespace,)))

    def matching_term(self, term: PodTerm) -> Counts:
        return self.matching(term.selects, None if term.any_namespace else term.namespaces)

    def forbidding(self) -> Iterator[Term]:
        """Required anti-affinity of the placed pods."""
        return iter(self._forbidding.values())

    def preferring(self) -> Iterator[Term]:
        """Preferred terms of the placed pods, and their required affinity with upstream's weight of 1."""
        return iter(self._preferring.values())

    def _count(self, pod: Pod, sign: int) -> None:
        if sign > 0:
            self._placed[pod.uid] = pod
        else:
            self._placed.pop(pod.uid, None)
        info = self.nodes.get(pod.node_name)
        if info is not None:
            self.nodes[pod.node_name] = info.with_pod(pod) if sign > 0 else info.without(pod)
        elif sign > 0:
            self._unknown.setdefault(pod.node_name, {})[pod.uid] = pod
        else:
            homeless = self._unknown.get(pod.node_name, {})
            homeless.pop(pod.uid, None)
            if not homeless:
                self._unknown.pop(pod.node_name, None)
        if not pod.deleting:
            classes = self._classes.setdefault(pod.namespace, {})
            _bump(classes.setdefault(pod.label_set, {}), pod.node_name, sign)
            if not classes[pod.label_set]:
                del classes[pod.label_set]
            if not classes:
                del self._classes[pod.namespace]
        for item in {f"{pod.namespace}/{use.claim}" for use in pod.claims}:
            _bump(self._claims.setdefault(item, {}), pod.node_name, sign)
            if not self._claims[item]:
                del self._claims[item]
        if pod.affinity:
            self._count_terms(pod, sign)

    def _count_terms(self, pod: Pod, sign: int) -> None:
        for term in pod.affinity.anti_required:
            kept = self._forbidding.setdefault(term.identity, Term(term, 0, {}))
            _bump(kept.counts, pod.node_name, sign)
            if not kept.counts:
                del self._forbidding[term.identity]
        weighted = [(t, 1) for t in pod.affinity.required]
        weighted += [(t, t.weight) for t in pod.affinity.preferred]
        weighted += [(t, -t.weight) for t in pod.affinity.anti_preferred]
        for term, weight in weighted:
            kept = self._preferring.setdefault((term.identity, weight), Term(term, weight, {}))
            _bump(kept.counts, pod.node_name, sign)
            if not kept.counts:
                del self._preferring[(term.identity, weight)]


def _bump(counts: Counts, node: str, sign: int) -> None:
    value = counts.get(node, 0) + sign
    if value:
        counts[node] = value
    else:
        counts.pop(node, None)


def _plus(total: Amounts, more: Amounts, sign: int) -> Amounts:
    if not more:
        return total
    result = dict(total)
    for name, amount in more.items():
        value = result.get(name, 0) + sign * amount
        if value:
            result[name] = value
        else:
            result.pop(name, None)
    return result

"""What is on every node, kept by counting as pods and nodes come and go.

Placing a pod must not cost more because other pods exist, so nothing here walks all pods to answer: requests are sums
per node, pods with the same labels are one class with a count per node, and what plugins ask again and again (how many
pods does this selector select, by zone) is a `Tally` that each pod changes by one addition.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, zip_longest

from controlplane.scheduler import nodeinfo
from controlplane.scheduler.extract import Node, Pod
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.nominations import Nominations
from controlplane.scheduler.tally import Counts, Tally, bump
from controlplane.scheduler.terms import PodTerm

Selects = Callable[[str, Mapping[str, str]], bool]
"""Whether pods of a namespace with such labels are meant."""
Shape = tuple[str, frozenset[tuple[str, str]]]
"""Namespace and labels of a pod."""

ZONE = "topology.kubernetes.io/zone"
# Questions to which answers are kept up; the one not asked for longest is dropped.
KEPT_TALLIES = 256
# Names of changed nodes that are kept for those who follow; who is further behind looks at all nodes.
LOGGED = 4096
# Shapes of pods whose terms and tallies are remembered; then all are forgotten.
REMEMBERED = 4096


@dataclass(frozen=True)
class Term:
    """One affinity term that placed pods carry. `weight` is negative for anti-affinity preferences, and 0 for the
    required affinity of a pod, whose weight the profile says."""

    term: PodTerm
    weight: int
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True)
class _Question:
    selects: Selects
    deleting: bool
    tally: Tally = field(default_factory=Tally)


class Cluster:
    """The scheduler's picture of nodes and placed pods; assumed pods count as placed.

    `changes` counts the changes of nodes and of what is on them; `epoch` moves on when nodes come, go, or change
    what pods choose them by. `spaces`: labels of namespaces.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self.cursor = 0
        self.epoch = 0
        self.spaces: dict[str, Mapping[str, str]] = {}
        self.nominated = Nominations()
        self.images: Counts = {}
        self.changes = 0
        self._log: deque[str] = deque(maxlen=LOGGED)
        self._order: list[str] | None = None
        self._unknown: dict[str, dict[str, Pod]] = {}
        self._placed: dict[str, Pod] = {}
        self._assumed: set[str] = set()
        self._classes: dict[str, dict[tuple[frozenset[tuple[str, str]], bool], Counts]] = {}
        self._claims: dict[str, Counts] = {}
        self._forbidding: dict[tuple[str, int], Term] = {}
        self._preferring: dict[tuple[str, int], Term] = {}
        self._questions: OrderedDict[str, _Question] = OrderedDict()
        # What concerns pods of one shape; forgotten when terms, questions or namespaces change.
        self._asked: dict[tuple[Shape, bool], list[Tally]] = {}
        self._about: dict[Shape, tuple[list[Term], list[Term]]] = {}

    # Nodes

    def set_node(self, node: Node) -> Node | None:
        """Learn a node or its change; answers the former view."""
        info = self.nodes.get(node.name)
        before = info.node if info is not None else None
        if info is None:
            info = nodeinfo.empty(node)
            for pod in self._unknown.pop(node.name, {}).values():
                info = info.with_pod(pod)
        self._put(node.name, info.with_node(node))
        self._count_images(before, node)
        if before is None or _place(before) != _place(node):
            self.epoch += 1
        if before is None or before.labels.get(ZONE) != node.labels.get(ZONE):
            self._order = None
        return before

    def remove_node(self, name: str) -> None:
        """Forget a node; its pods stay counted, for they exist until their objects are gone."""
        info = self.nodes.pop(name, None)
        if info is None:
            return
        if info.pods:
            self._unknown[name] = dict(info.pods)
        self._count_images(info.node, None)
        self._tell(name)
        self._order = None
        self.epoch += 1

    def changed_since(self, moment: int, known: Iterable[str]) -> Iterable[str]:
        """Names of nodes that have changed since `changes` had that value; `known` where that is too long ago."""
        behind = self.changes - moment
        if behind > len(self._log):
            return list(known)
        return set(islice(reversed(self._log), behind)) if behind else ()

    def _put(self, name: str, info: NodeInfo) -> None:
        self.nodes[name] = info
        self._tell(name)

    def _tell(self, name: str) -> None:
        self.changes += 1
        self._log.append(name)

    def order(self) -> list[str]:
        """The names of all nodes, neighbours in different zones as far as may be."""
        if self._order is None:
            zones: dict[str, list[str]] = {}
            for name, info in self.nodes.items():
                zones.setdefault(info.node.labels.get(ZONE, ""), []).append(name)
            self._order = [name for row in zip_longest(*zones.values()) for name in row if name is not None]
        return self._order

    def set_space(self, namespace: str, labels: Mapping[str, str] | None) -> None:
        """Learn the labels of a namespace, or that it is gone (None)."""
        if self.spaces.get(namespace) == labels:
            return
        if labels is None:
            self.spaces.pop(namespace, None)
        else:
            self.spaces[namespace] = labels
        self._about.clear()
        self._asked.clear()
        self._questions.clear()

    # Pods

    def place(self, pod: Pod) -> None:
        """A pod is bound to `pod.node_name`: confirm the assumption or learn it, replacing older views."""
        self._assumed.discard(pod.uid)
        self.nominated.drop(pod.uid)
        old = self._placed.get(pod.uid)
        if old is not None and _weighs(old) == _weighs(pod):
            self._placed[pod.uid] = pod
            info = self.nodes.get(pod.node_name)
            if info is not None:
                self._put(pod.node_name, info.seeing(pod))
            else:
                self._unknown[pod.node_name][pod.uid] = pod
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
        self.nominated.drop(pod.uid)
        self._count(replace(pod, node_name=node), 1)
        self._assumed.add(pod.uid)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def placed(self, uid: str) -> Pod | None:
        return self._placed.get(uid)

    # Questions

    def claim_users(self, item: str) -> Counts:
        """Placed pods that use a claim (`namespace/name`), counted by node."""
        return self._claims.get(item, {})

    def tally(self, question: str, selects: Selects, deleting: bool) -> Tally:
        """The placed pods that `selects` means, kept up from now on; `question` is a text of its own for each
        meaning, `deleting` says whether pods on their way out count."""
        place = f"{deleting} {question}"
        kept = self._questions.get(place)
        if kept is None:
            kept = self._questions[place] = _Question(selects, deleting)
            for namespace, classes in self._classes.items():
                for (label_set, going), counts in classes.items():
                    if (deleting or not going) and selects(namespace, dict(label_set)):
                        for node, count in counts.items():
                            kept.tally.bump(node, count)
            if len(self._questions) > KEPT_TALLIES:
                self._questions.popitem(last=False)
            self._asked.clear()
        self._questions.move_to_end(place)
        return kept.tally

    def matching_term(self, term: PodTerm) -> Tally:
        """The placed pods that a term means."""

        def selects(namespace: str, labels: Mapping[str, str]) -> bool:
            return term.selects(namespace, labels, self.spaces.get(namespace, {}))

        return self.tally(f"term {term.identity}", selects, deleting=True)

    def terms_about(self, pod: Pod) -> tuple[list[Term], list[Term]]:
        """Terms of the placed pods that mean this pod: required anti-affinity, and what has a weight."""
        shape = (pod.namespace, pod.label_set)
        found = self._about.get(shape)
        if found is None:
            labels = self.spaces.get(pod.namespace, {})

            def mean(terms: Iterable[Term]) -> list[Term]:
                return [kept for kept in terms if kept.term.selects(pod.namespace, pod.labels, labels)]

            if len(self._about) >= REMEMBERED:
                self._about.clear()
            found = self._about[shape] = mean(self._forbidding.values()), mean(self._preferring.values())
        return found

    # Counting

    def _count(self, pod: Pod, sign: int) -> None:
        if sign > 0:
            self._placed[pod.uid] = pod
        else:
            self._placed.pop(pod.uid, None)
        self._count_on_node(pod, sign)
        classes = self._classes.setdefault(pod.namespace, {})
        counts = classes.setdefault((pod.label_set, pod.deleting), {})
        bump(counts, pod.node_name, sign)
        if not counts:
            del classes[pod.label_set, pod.deleting]
            if not classes:
                del self._classes[pod.namespace]
        for tally in self._concerned(pod):
            tally.bump(pod.node_name, sign)
        for item in {f"{pod.namespace}/{use.claim}" for use in pod.claims}:
            bump(self._claims.setdefault(item, {}), pod.node_name, sign)
            if not self._claims[item]:
                del self._claims[item]
        if pod.affinity:
            self._count_terms(pod, sign)

    def _count_on_node(self, pod: Pod, sign: int) -> None:
        info = self.nodes.get(pod.node_name)
        if info is not None:
            self._put(pod.node_name, info.with_pod(pod) if sign > 0 else info.without(pod))
        elif sign > 0:
            self._unknown.setdefault(pod.node_name, {})[pod.uid] = pod
        else:
            homeless = self._unknown.get(pod.node_name, {})
            homeless.pop(pod.uid, None)
            if not homeless:
                self._unknown.pop(pod.node_name, None)

    def _concerned(self, pod: Pod) -> list[Tally]:
        """The tallies in which the pod counts."""
        place = ((pod.namespace, pod.label_set), pod.deleting)
        found = self._asked.get(place)
        if found is None:
            found = [
                kept.tally
                for kept in self._questions.values()
                if (kept.deleting or not pod.deleting) and kept.selects(pod.namespace, pod.labels)
            ]
            if len(self._asked) >= REMEMBERED:
                self._asked.clear()
            self._asked[place] = found
        return found

    def _count_terms(self, pod: Pod, sign: int) -> None:
        for term in pod.affinity.anti_required:
            self._count_term(self._forbidding, (term.identity, 0), term, pod.node_name, sign)
        weighted = [(t, 0) for t in pod.affinity.required]
        weighted += [(t, t.weight) for t in pod.affinity.preferred]
        weighted += [(t, -t.weight) for t in pod.affinity.anti_preferred]
        for term, weight in weighted:
            self._count_term(self._preferring, (term.identity, weight), term, pod.node_name, sign)

    def _count_term(
        self, terms: dict[tuple[str, int], Term], place: tuple[str, int], term: PodTerm, node: str, sign: int
    ) -> None:
        kept = terms.get(place)
        if kept is None:
            kept = terms[place] = Term(term, place[1])
            self._about.clear()
        kept.tally.bump(node, sign)
        if not kept.tally:
            del terms[place]
            self._about.clear()

    def _count_images(self, before: Node | None, after: Node | None) -> None:
        old, new = before.images if before else {}, after.images if after else {}
        if old == new:
            return
        for image in old:
            bump(self.images, image, -1)
        for image in new:
            bump(self.images, image, 1)


def _place(node: Node) -> tuple[object, ...]:
    """What pods choose nodes by."""
    return node.labels, node.taints, node.unschedulable


def _weighs(pod: Pod) -> tuple[object, ...]:
    """What of a pod is counted."""
    return (
        pod.node_name, pod.requests, pod.scored, pod.labels, pod.deleting,
        pod.ports, pod.affinity, pod.claims, pod.disks,
    )  # fmt: skip

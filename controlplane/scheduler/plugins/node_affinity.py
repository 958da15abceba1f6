"""NodeAffinity: nodeSelector and required terms filter, preferred terms score; a profile may add terms of its own."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery.objects import Obj
from apimachinery.pods import placement
from apimachinery.pods.placement import NodeTerm
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Node, Pod, preferred_terms
from controlplane.scheduler.framework import SKIP, Only, Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.plugins.scaling import scale

REFUSED = Rejection("node(s) didn't match Pod's node affinity/selector", unresolvable=True)
REFUSED_BY_PROFILE = Rejection("node(s) didn't match scheduler-enforced node affinity", unresolvable=True)
CONFLICT = Rejection("pod affinity terms conflict", unresolvable=True)
NAME = "metadata.name"


@dataclass(frozen=True)
class NodeAffinityArgs:
    """Arguments of the plugin."""

    added_affinity: Obj = field(default_factory=dict)
    """A v1 NodeAffinity that every pod of the profile has besides its own."""


def matches(pod: Pod, node: Node) -> bool:
    """Whether the node satisfies the pod's nodeSelector and required node affinity."""
    return placement.selects(pod.node_selector, pod.node_required, node.name, node.labels)


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_LABELS))

    def __init__(self, args: NodeAffinityArgs | None = None) -> None:
        affinity = {"nodeAffinity": args.added_affinity if args else {}}
        self._required = placement.required_terms({"affinity": affinity})
        self._preferred = preferred_terms(affinity["nodeAffinity"])

    def sign(self, pod: Pod) -> Hashable:
        return frozenset(pod.node_selector.items()), pod.node_required, pod.node_preferred

    def may_help(self, pod: Pod, event: Event) -> bool:
        return event.node is None or self._refuses(pod, event.node) is None

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """SKIP, or the nodes that the required terms name: those of a DaemonSet name one each."""
        if not pod.node_selector and pod.node_required is None and self._required is None:
            return SKIP
        named = [_named(term) for term in pod.node_required or ()]
        if not named or None in named:
            return None
        chosen = frozenset(name for names in named for name in names or ())
        return Only(chosen) if chosen else CONFLICT

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        return self._refuses(pod, info.node)

    def _refuses(self, pod: Pod, node: Node) -> Rejection | None:
        if self._required is not None and not any(term.matches(node.name, node.labels) for term in self._required):
            return REFUSED_BY_PROFILE
        return None if matches(pod, node) else REFUSED

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        return (*self._preferred, *pod.node_preferred) or SKIP

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        """The sum of the weights of the terms that the node satisfies."""
        terms: Sequence[tuple[int, NodeTerm]] = state
        return sum(weight for weight, term in terms if term.matches(info.node.name, info.node.labels))

    def normalize(self, state: Any, nodes: Sequence[NodeInfo], scores: Sequence[float]) -> Sequence[float]:
        return scale(scores)


def _named(term: NodeTerm) -> frozenset[str] | None:
    """The nodes that a term names, or None where it names none."""
    chosen = [frozenset(r.values) for r in term.fields if r.key == NAME and r.operator == "In"]
    return frozenset.intersection(*chosen) if chosen else None

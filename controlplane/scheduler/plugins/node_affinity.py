"""NodeAffinity: nodeSelector and required terms filter, preferred terms score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.pods import placement
from controlplane.scheduler.cluster import NodeInfo
from controlplane.scheduler.extract import Node, Pod
from controlplane.scheduler.framework import MAX_SCORE, SKIP, Change, Plugin, Query, Rejection

REFUSED = Rejection("node(s) didn't match Pod's node affinity/selector", unresolvable=True)


def matches(pod: Pod, node: Node) -> bool:
    """Whether the node satisfies the pod's nodeSelector and required node affinity."""
    return placement.selects(pod.node_selector, pod.node_required, node.name, node.labels)


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_LABELS))

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        return SKIP if not pod.node_selector and pod.node_required is None else None

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        return None if matches(pod, info.node) else REFUSED

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        return None if pod.node_preferred else SKIP

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        return sum(weight for weight, term in pod.node_preferred if term.matches(info.node.name, info.node.labels))

    def normalize(self, state: Any, scores: Mapping[str, float]) -> Mapping[str, float]:
        return scale(scores)


def scale(scores: Mapping[str, float], reverse: bool = False) -> Mapping[str, float]:
    """Integers 0..MAX_SCORE in proportion to the highest; reversed, the lowest raw score is best."""
    top = max(scores.values(), default=0)
    if top == 0:
        return dict.fromkeys(scores, MAX_SCORE if reverse else 0)
    scaled = {name: int(MAX_SCORE * value // top) for name, value in scores.items()}
    return {name: MAX_SCORE - value for name, value in scaled.items()} if reverse else scaled

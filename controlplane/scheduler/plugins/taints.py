"""TaintToleration: NoSchedule and NoExecute filter, PreferNoSchedule scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.pods import placement
from apimachinery.pods.placement import Taint
from controlplane.scheduler.cluster import NodeInfo
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Change, Plugin, Query, Rejection
from controlplane.scheduler.plugins.node_affinity import scale

HARD = ("NoSchedule", "NoExecute")
REFUSED = Rejection("node(s) had untolerated taint(s)", unresolvable=True)


def untolerated(pod: Pod, taints: Sequence[Taint], effects: Sequence[str] = HARD) -> Taint | None:
    """The first taint with one of the effects that no toleration of the pod covers."""
    return placement.untolerated(pod.tolerations, taints, effects)


class TaintToleration(Plugin):
    name = "TaintToleration"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_TAINTS))

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        taints = info.node.taints
        return REFUSED if taints and untolerated(pod, taints) else None

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        preferring = any(t.effect == "PreferNoSchedule" for info in nodes for t in info.node.taints)
        if not preferring:
            return SKIP
        return tuple(t for t in pod.tolerations if t.effect in ("", "PreferNoSchedule"))

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        return sum(
            t.effect == "PreferNoSchedule" and not any(toleration.tolerates(t) for toleration in state)
            for t in info.node.taints
        )

    def normalize(self, state: Any, scores: Mapping[str, float]) -> Mapping[str, float]:
        return scale(scores, reverse=True)

"""TaintToleration: NoSchedule and NoExecute filter, PreferNoSchedule scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.pods import placement
from apimachinery.pods.placement import Taint, Toleration
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.plugins.scaling import scale

HARD = ("NoSchedule", "NoExecute")
REFUSED = Rejection("node(s) had untolerated taint(s)", unresolvable=True)


def untolerated(pod: Pod, taints: Sequence[Taint], effects: Sequence[str] = HARD) -> Taint | None:
    """The first taint with one of the effects that no toleration of the pod covers."""
    return placement.untolerated(pod.tolerations, taints, effects)


class TaintToleration(Plugin):
    name = "TaintToleration"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_TAINTS))

    def sign(self, pod: Pod) -> tuple[Toleration, ...]:
        return pod.tolerations

    def may_help(self, pod: Pod, event: Event) -> bool:
        return event.node is None or untolerated(pod, event.node.taints) is None

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        taints = info.node.taints
        return REFUSED if taints and untolerated(pod, taints) else None

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        return tuple(t for t in pod.tolerations if t.effect in ("", "PreferNoSchedule"))

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        """Taints of effect PreferNoSchedule that the pod does not tolerate; fewer is better."""
        return sum(
            t.effect == "PreferNoSchedule" and not any(toleration.tolerates(t) for toleration in state)
            for t in info.node.taints
        )

    def normalize(self, state: Any, nodes: Sequence[NodeInfo], scores: Sequence[float]) -> Sequence[float]:
        return scale(scores, reverse=True)

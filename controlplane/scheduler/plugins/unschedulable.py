"""NodeUnschedulable: cordoned nodes take only pods that tolerate being unschedulable."""

from __future__ import annotations

from typing import Any

from apimachinery.pods.placement import Taint, Toleration
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Node, Pod
from controlplane.scheduler.framework import Plugin, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo

CORDONED = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
REFUSED = Rejection("node(s) were unschedulable", unresolvable=True)


def takes(node: Node, pod: Pod) -> bool:
    """Whether the node is open to the pod."""
    return not node.unschedulable or any(t.tolerates(CORDONED) for t in pod.tolerations)


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_TAINTS))

    def sign(self, pod: Pod) -> tuple[Toleration, ...]:
        return pod.tolerations

    def may_help(self, pod: Pod, event: Event) -> bool:
        return event.node is None or takes(event.node, pod)

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        return None if takes(info.node, pod) else REFUSED

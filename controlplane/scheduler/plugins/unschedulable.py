"""NodeUnschedulable: cordoned nodes take only pods that tolerate being unschedulable."""

from __future__ import annotations

from typing import Any

from apimachinery.pods.placement import Taint
from controlplane.scheduler.cluster import NodeInfo
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import Change, Plugin, Rejection

CORDONED = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
REFUSED = Rejection("node(s) were unschedulable", unresolvable=True)


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_TAINTS))

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        if not info.node.unschedulable or any(t.tolerates(CORDONED) for t in pod.tolerations):
            return None
        return REFUSED

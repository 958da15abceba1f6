"""NodeName: a pod that names its node goes nowhere else."""

from __future__ import annotations

from typing import Any

from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo

REFUSED = Rejection("node(s) didn't match the requested node name", unresolvable=True)


class NodeName(Plugin):
    name = "NodeName"
    helped_by = frozenset((Change.NODE_ADDED,))

    def sign(self, pod: Pod) -> str:
        return pod.node_name

    def may_help(self, pod: Pod, event: Event) -> bool:
        return event.node is None or event.node.name == pod.node_name

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        return None if pod.node_name else SKIP

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        return None if pod.node_name == info.node.name else REFUSED

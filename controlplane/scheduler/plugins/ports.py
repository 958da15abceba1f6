"""NodePorts: two pods of one node cannot have the same host port, protocol and overlapping host address."""

from __future__ import annotations

from typing import Any

from apimachinery.pods.ports import HostPort, conflicts
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo

REFUSED = Rejection("node(s) didn't have free ports for the requested pod ports")


class NodePorts(Plugin):
    name = "NodePorts"
    helped_by = frozenset((Change.NODE_ADDED, Change.POD_REMOVED))

    def sign(self, pod: Pod) -> frozenset[HostPort]:
        return pod.ports

    def may_help(self, pod: Pod, event: Event) -> bool:
        return event.old is None or conflicts(pod.ports, event.old.ports)

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        return None if pod.ports else SKIP

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        return REFUSED if info.ports and conflicts(pod.ports, info.ports) else None

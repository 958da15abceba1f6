"""NodeDeclaredFeatures: a pod goes where what it makes use of is declared by the node (KEP-5328)."""

from __future__ import annotations

from typing import Any

from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo

LACKING = Rejection("node(s) didn't match Pod's required features", unresolvable=True)


class NodeDeclaredFeatures(Plugin):
    name = "NodeDeclaredFeatures"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_FEATURES))

    def sign(self, pod: Pod) -> tuple[str, ...]:
        return pod.features

    def may_help(self, pod: Pod, event: Event) -> bool:
        return event.node is None or event.node.features.issuperset(pod.features)

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        return None if pod.features else SKIP

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        return None if info.node.features.issuperset(pod.features) else LACKING

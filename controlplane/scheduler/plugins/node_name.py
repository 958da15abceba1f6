"""NodeName: a pod that names its node goes nowhere else."""

from __future__ import annotations

from typing import Any

from controlplane.scheduler.cluster import NodeInfo
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Change, Plugin, Query, Rejection

REFUSED = Rejection("node(s) didn't match the requested node name", unresolvable=True)


class NodeName(Plugin):
    name = "NodeName"
    helped_by = frozenset((Change.NODE_ADDED,))

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        return None if pod.node_name else SKIP

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        return None if pod.node_name == info.node.name else REFUSED

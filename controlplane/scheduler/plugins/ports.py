"""NodePorts: two pods of one node cannot have the same host port, protocol and overlapping host address."""

from __future__ import annotations

from typing import Any

from controlplane.scheduler.cluster import NodeInfo
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Change, Plugin, Query, Rejection

REFUSED = Rejection("node(s) didn't have free ports for the requested pod ports")
ANY = "0.0.0.0"


def conflicts(wanted: frozenset[tuple[str, str, int]], used: frozenset[tuple[str, str, int]]) -> bool:
    """Whether any (address, protocol, port) of one set clashes with the other; the wildcard address clashes
    with all.
    """
    for address, protocol, port in wanted:
        for other_address, other_protocol, other_port in used:
            if (
                port == other_port
                and protocol == other_protocol
                and (address == other_address or ANY in (address, other_address))
            ):
                return True
    return False


class NodePorts(Plugin):
    name = "NodePorts"
    helped_by = frozenset((Change.NODE_ADDED, Change.POD_REMOVED))

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        return None if pod.ports else SKIP

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        return REFUSED if info.ports and conflicts(pod.ports, info.ports) else None

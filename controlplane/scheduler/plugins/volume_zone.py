"""VolumeZone: a pod goes where the zone labels of its volumes say (of volumes without node affinity, mostly)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.objects import labels
from controlplane.scheduler.changes import Change
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo

WRONG_ZONE = Rejection("node(s) had no available volume zone", unresolvable=True)
_ZONES = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)


class VolumeZone(Plugin):
    name = "VolumeZone"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_LABELS, Change.CLAIM, Change.VOLUME))

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """The zone labels of the pod's volumes, each with the values it may have."""
        wanted = []
        for claim in query.storage.claims_of(pod):
            volume = query.storage.volume(claim["spec"].get("volumeName") or "")
            found = labels(volume) if volume is not None else {}
            wanted += [(mark, set(found[mark].split("__"))) for mark in _ZONES if mark in found]
        return wanted or SKIP

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        has = info.node.labels
        if not any(mark in has for mark in _ZONES):
            return None
        return None if all(_zone(has, mark) in values for mark, values in state) else WRONG_ZONE


def _zone(has: Mapping[str, str], mark: str) -> str | None:
    """A node's value for a label or for the one that it was renamed to."""
    renamed = mark.replace("failure-domain.beta", "topology")
    return has.get(mark, has.get(renamed))

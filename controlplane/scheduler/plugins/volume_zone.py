"""VolumeZone: a pod goes where the zone labels of its volumes say (of volumes without node affinity, mostly)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.objects import Obj, labels
from apimachinery.volumes import claims
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.storage import Storage

WRONG_ZONE = Rejection("node(s) had no available volume zone", unresolvable=True)
_ZONES = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)


class VolumeZone(Plugin):
    name = "VolumeZone"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_LABELS, Change.CLAIM, Change.VOLUME, Change.STORAGE_CLASS))

    def may_help(self, pod: Pod, event: Event) -> bool:
        """A claim of the pod's own, a volume that is new or of other zones, a class that lets claims wait."""
        if event.node is not None or event.now is None:
            return event.node is not None
        if event.change is Change.CLAIM:
            return claims.is_used(pod.claims, pod.namespace, event.now)
        if event.change is Change.STORAGE_CLASS:
            return event.was is None and event.now.get("volumeBindingMode") == claims.WAIT
        return event.was is None or _zones(event.was) != _zones(event.now)

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """The zone labels of the pod's volumes, each with the values it may have; or what of them is missing."""
        wanted: list[tuple[str, set[str]]] = []
        for use in pod.claims:
            claim = query.storage.claim(f"{pod.namespace}/{use.claim}")
            if claim is None:
                return Rejection(f'persistentvolumeclaim "{use.claim}" not found', unresolvable=True)
            which = claim["spec"].get("volumeName")
            if not which:
                if missing := _unmade(claim, query.storage):
                    return Rejection(missing, unresolvable=True)
                continue
            volume = query.storage.volume(which)
            if volume is None:
                return Rejection(f'persistentvolume "{which}" not found', unresolvable=True)
            wanted += _zones(volume)
        return wanted or SKIP

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        has = info.node.labels
        if not any(mark in has for mark in _ZONES):
            return None
        return None if all(_zone(has, mark) in values for mark, values in state) else WRONG_ZONE


def _zones(volume: Obj) -> list[tuple[str, set[str]]]:
    found = labels(volume)
    return [(mark, set(found[mark].split("__"))) for mark in _ZONES if mark in found]


def _unmade(claim: Obj, storage: Storage) -> str:
    """Why a claim without a volume is none that waits for its pod."""
    which = claims.class_of(claim)
    if not which:
        return "PersistentVolumeClaim had no pv name and storageClass name"
    found = storage.classes().get(which)
    if found is None:
        return f'storageclass.storage.k8s.io "{which}" not found'
    mode = found.get("volumeBindingMode")
    if not mode:
        return f'VolumeBindingMode not set for StorageClass "{which}"'
    return "" if mode == claims.WAIT else "PersistentVolume had no name"


def _zone(has: Mapping[str, str], mark: str) -> str | None:
    """A node's value for a label or for the one that it was renamed to."""
    renamed = mark.replace("failure-domain.beta", "topology")
    return has.get(mark, has.get(renamed))

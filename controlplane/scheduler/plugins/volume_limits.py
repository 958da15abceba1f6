"""NodeVolumeLimits: no more volumes of a CSI driver on a node than the driver says (CSINode, KEP-554)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from apimachinery.objects import Obj, key
from apimachinery.volumes import claims
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.storage import Attached, Storage, limits

TOO_MANY = Rejection("node(s) exceed max volume count")


class NodeVolumeLimits(Plugin):
    name = "NodeVolumeLimits"
    helped_by = frozenset((Change.CSI_NODE, Change.POD_REMOVED, Change.CLAIM, Change.VOLUME, Change.ATTACHMENT))

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def may_help(self, pod: Pod, event: Event) -> bool:
        """A pod with volumes that goes, an attachment that goes, a limit that grows, and the pod's own claims as they
        come and are bound."""
        if event.change is Change.POD_REMOVED:
            return event.old is None or bool(event.old.claims)
        if event.change is Change.ATTACHMENT:
            return event.now is None
        if event.now is None:
            return False
        if event.change is Change.CLAIM:
            return claims.is_used(pod.claims, pod.namespace, event.now)
        return event.change is not Change.CSI_NODE or event.was is None or _grows(event.was, event.now)

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """The pod's volumes of CSI drivers."""
        return frozenset(_volumes((pod,), self._storage)) or SKIP

    def filter(self, state: frozenset[Attached], pod: Pod, info: NodeInfo) -> Rejection | None:
        """A volume that is there already, for another pod, is not counted twice."""
        most = self._storage.volume_limits(info.node.name)
        if not most:
            return None
        there = frozenset(_volumes(info.pods.values(), self._storage))
        new = state - there
        # Those that are attached for no pod that is known take room, too.
        counted = [*there, *(self._storage.attached(info.node.name) - there), *new]
        for driver in {driver for driver, _ in new}:
            count = sum(each == driver for each, _ in counted)
            if count > most.get(driver, count):
                return TOO_MANY
        return None


def _grows(was: Obj, now: Obj) -> bool:
    """Whether a CSINode allows more volumes of a driver."""
    before, after = limits(was), limits(now)
    return any(count > before.get(driver, 0) for driver, count in after.items())


def _volumes(pods: Iterable[Pod], storage: Storage) -> Iterator[Attached]:
    for pod in pods:
        for claim in storage.claims_of(pod) if pod.claims else ():
            found = _attached(claim, storage)
            if found is not None:
                yield found


def _attached(claim: Obj, storage: Storage) -> Attached | None:
    """What a claim will be to a driver; one that is not bound yet counts for the driver of its class."""
    volume = storage.volume(claim["spec"].get("volumeName") or "")
    if volume is not None:
        csi = volume["spec"].get("csi") or {}
        return (csi["driver"], csi.get("volumeHandle", "")) if csi else None
    found = storage.classes().get(claims.class_of(claim)) or {}
    driver = found.get("provisioner")
    return (driver, key(claim)) if driver and storage.is_driver(driver) else None

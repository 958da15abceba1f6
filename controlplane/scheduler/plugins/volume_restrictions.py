"""VolumeRestrictions: a claim of mode ReadWriteOncePod serves one pod, and some disks one node's pod at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from apimachinery.objects import key
from apimachinery.volumes.claims import is_used
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo

MODE = "ReadWriteOncePod"
IN_USE = Rejection("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode")
NO_DISK = Rejection("node(s) had no available disk")


@dataclass(frozen=True)
class Alone:
    """The pod's claims that serve one pod, by key, and how many pods use them already."""

    claims: frozenset[str]
    users: int


class VolumeRestrictions(Plugin):
    name = "VolumeRestrictions"
    helped_by = frozenset((Change.NODE_ADDED, Change.POD_REMOVED, Change.CLAIM))

    def may_help(self, pod: Pod, event: Event) -> bool:
        """A claim of the pod's that comes, or a pod that goes and shared something with it."""
        if event.change is Change.CLAIM:
            return event.was is None and event.now is not None and is_used(pod.claims, pod.namespace, event.now)
        if event.old is None:
            return True
        shared = {use.claim for use in pod.claims} & {use.claim for use in event.old.claims}
        return bool(shared or (pod.disks and event.old.disks))

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        if not pod.claims and not pod.disks:
            return SKIP
        claims = query.storage.claims_of(pod)
        alone = frozenset(key(claim) for claim in claims if MODE in (claim["spec"].get("accessModes") or ()))
        users = sum(count for item in alone for count in query.cluster.claim_users(item).values())
        return Alone(alone, users) if alone or pod.disks else SKIP

    def counting(self, state: Any, pod: Pod, other: Pod, info: NodeInfo, sign: int) -> Any:
        if not isinstance(state, Alone):
            return state
        uses = sum(f"{other.namespace}/{use.claim}" in state.claims for use in other.claims)
        return replace(state, users=state.users + sign * uses) if uses else state

    def filter(self, state: Alone, pod: Pod, info: NodeInfo) -> Rejection | None:
        """The claim is asked for wherever its pod is; removing that pod helps."""
        if pod.disks:
            there = [disk for other in info.pods.values() for disk in other.disks]
            if any(disk.clashes(other) for disk in pod.disks for other in there):
                return NO_DISK
        return IN_USE if state.users > 0 else None

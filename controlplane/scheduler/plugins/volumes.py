"""Volumes: whether a pod's claims are bound, can be bound or made, and can be reached from a node.

VolumeRestrictions (a claim of mode ReadWriteOncePod serves one pod), VolumeZone (zone labels of a volume) and
VolumeBinding (KEP-490: claims that wait for their first consumer).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery import objects
from apimachinery.client import Client
from apimachinery.objects import Obj, controller_of, is_deleting, key, labels, name
from apimachinery.volumes import claims, matching
from apimachinery.volumes.matching import Place
from controlplane.scheduler.cluster import NodeInfo
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Change, Plugin, Query, Rejection
from controlplane.scheduler.storage import Choice, Storage

NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
IMMEDIATE = Rejection("pod has unbound immediate PersistentVolumeClaims", unresolvable=True)
IN_USE = Rejection("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode")
WRONG_ZONE = Rejection("node(s) had no available volume zone", unresolvable=True)
_ZONES = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)


def _claims(pod: Pod, storage: Storage) -> Iterator[Obj]:
    for use in pod.claims:
        claim = storage.claim(f"{pod.namespace}/{use.claim}")
        if claim is not None:
            yield claim


class VolumeRestrictions(Plugin):
    name = "VolumeRestrictions"
    helped_by = frozenset((Change.POD_REMOVED, Change.CLAIM))

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        mode = "ReadWriteOncePod"
        alone = [c for c in _claims(pod, query.storage) if mode in (c["spec"].get("accessModes") or ())]
        return {key(claim): query.cluster.claim_users(key(claim)) for claim in alone} or SKIP

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        here = info.node.name
        for item, users in state.items():
            used_here = any(f"{p.namespace}/{use.claim}" == item for p in info.pods.values() for use in p.claims)
            if used_here or any(node != here for node in users):
                return IN_USE
        return None


class VolumeZone(Plugin):
    name = "VolumeZone"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_LABELS, Change.CLAIM, Change.VOLUME))

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        """The zone labels of the pod's volumes, each with the values it may have."""
        wanted = []
        for claim in _claims(pod, query.storage):
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


@dataclass(frozen=True)
class Wanted:
    """The claims of a pod: those that are bound, and those that wait for it, with the classes there are."""

    bound: tuple[Obj, ...]
    waiting: tuple[Obj, ...]
    classes: Mapping[str, Obj]
    storage: Storage


class VolumeBinding(Plugin):
    """`storage` is asked by `filter` and told by `reserve`; the decision itself is `choose`."""

    name = "VolumeBinding"
    helped_by = frozenset((Change.NODE_ADDED, Change.NODE_LABELS, Change.CLAIM, Change.VOLUME, Change.STORAGE_CLASS))

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        return sort_out(pod, self._storage) if pod.claims else SKIP

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        found = choose(state, Place(info.node.name, info.node.labels))
        return None if isinstance(found, Choice) else Rejection("\n".join(found), unresolvable=True)

    def reserve(self, pod: Pod, info: NodeInfo) -> None:
        wanted = sort_out(pod, self._storage) if pod.claims else None
        if isinstance(wanted, Wanted):
            found = choose(wanted, Place(info.node.name, info.node.labels))
            if isinstance(found, Choice):
                self._storage.promise(pod.uid, found)

    def unreserve(self, pod: Pod, node: str) -> None:
        self._storage.release(pod.uid)

    async def pre_bind(self, client: Client, pod: Pod, node: str) -> None:
        await self._storage.bind(client, pod.uid)


def sort_out(pod: Pod, storage: Storage) -> Wanted | Rejection:
    """The pod's claims by what is still to be done for them, or why none can be done."""
    bound: list[Obj] = []
    waiting: list[Obj] = []
    classes = storage.classes()
    immediate = False
    for use in pod.claims:
        item = f"{pod.namespace}/{use.claim}"
        claim = storage.claim(item)
        if wrong := _unusable(pod, use, claim):
            return Rejection(wrong, unresolvable=True)
        assert claim is not None
        if claims.is_bound(claim):
            bound.append(claim)
        elif claims.is_delayed(claim, classes) and not claim["spec"].get("volumeName"):
            waiting.append(claim)
        else:
            immediate = True
    return IMMEDIATE if immediate else Wanted(tuple(bound), tuple(waiting), classes, storage)


def _unusable(pod: Pod, use: claims.Use, claim: Obj | None) -> str:
    if claim is None:
        if use.ephemeral:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{use.claim}"'
        return f'persistentvolumeclaim "{use.claim}" not found'
    if (claim.get("status") or {}).get("phase") == "Lost":
        volume = claim["spec"].get("volumeName") or ""
        return f'persistentvolumeclaim "{use.claim}" bound to non-existent persistentvolume "{volume}"'
    if is_deleting(claim):
        return f'persistentvolumeclaim "{use.claim}" is being deleted'
    if use.ephemeral and (controller_of(claim) or {}).get("uid") != pod.uid:
        return f"PVC {key(claim)} was not created for pod {pod.key} (pod is not owner)"
    return ""


def choose(wanted: Wanted, place: Place) -> Choice | tuple[str, ...]:
    """What the pod would get on a node, or the reasons why it cannot be there."""
    reasons = []
    volumes = [wanted.storage.volume(claim["spec"]["volumeName"]) for claim in wanted.bound]
    if any(volume is not None and not matching.allows(volume, place) for volume in volumes):
        reasons.append(NODE_CONFLICT)
    found = _find(wanted, place)
    if found is None:
        reasons.append(BIND_CONFLICT)
    if any(volume is None for volume in volumes):
        reasons.append(NO_VOLUME)
    return tuple(reasons) if reasons or found is None else found


def _find(wanted: Wanted, place: Place) -> Choice | None:
    """Volumes for the claims that wait, the smallest claim first, or that they be made here."""
    bindings: list[tuple[str, str]] = []
    provisions: list[str] = []
    taken: set[str] = set()
    for claim in sorted(wanted.waiting, key=lambda c: (matching.requested(c), name(c))):
        node, promised = wanted.storage.promised(key(claim))
        selected = objects.annotations(claim).get(claims.SELECTED_NODE) or node
        if selected and selected != place.name:
            return None
        if promised:
            bindings.append((key(claim), promised))
            continue
        free = [v for v in wanted.storage.candidates(claim) if name(v) not in taken] if not selected else []
        volume = matching.best(claim, free, place=place)
        if volume is not None:
            taken.add(name(volume))
            bindings.append((key(claim), name(volume)))
        elif _is_made(claim, wanted.classes, place):
            provisions.append(key(claim))
        else:
            return None
    return Choice(place.name, tuple(bindings), tuple(provisions))


def _is_made(claim: Obj, classes: Mapping[str, Obj], place: Place) -> bool:
    """Whether the claim's class can make a volume for the node."""
    found = classes.get(claims.class_of(claim)) or {}
    provisioner = found.get("provisioner") or ""
    return provisioner not in ("", "kubernetes.io/no-provisioner") and matching.topology_allows(found, place)

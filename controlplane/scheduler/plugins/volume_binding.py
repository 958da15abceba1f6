"""VolumeBinding: claims that wait for their first consumer get volumes, or are made, where the pod goes (KEP-490)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery import objects
from apimachinery.client import Client
from apimachinery.objects import Obj, controller_of, is_deleting, key, name
from apimachinery.quantity import Quantity, parse
from apimachinery.volumes import claims, matching
from apimachinery.volumes.matching import Place
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Plugin, Query, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.storage import Choice, Storage

NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
NO_CAPACITY = "node(s) did not have enough free storage"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
IMMEDIATE = Rejection("pod has unbound immediate PersistentVolumeClaims", unresolvable=True)


@dataclass(frozen=True)
class Wanted:
    """The claims of a pod: those that are bound, and those that wait for it, with the classes there are."""

    bound: tuple[Obj, ...]
    waiting: tuple[Obj, ...]
    classes: Mapping[str, Obj]
    storage: Storage


@dataclass(frozen=True)
class VolumeBindingArgs:
    """Arguments of the plugin. Raises ValueError, naming the field."""

    bind_timeout_seconds: int = 600
    """What a provisioner and the binder get for the volumes of one pod."""

    def __post_init__(self) -> None:
        if self.bind_timeout_seconds < 0:
            raise ValueError(f"bindTimeoutSeconds: {self.bind_timeout_seconds}: should not be a negative value")


class VolumeBinding(Plugin):
    """`storage` is asked by `filter` and told by `reserve`; the decision itself is `choose`."""

    name = "VolumeBinding"
    helped_by = frozenset(
        (Change.NODE_ADDED, Change.NODE_LABELS, Change.CLAIM, Change.VOLUME, Change.STORAGE_CLASS, Change.CSI_NODE,
         Change.CSI_DRIVER, Change.CAPACITY)
    )  # fmt: skip

    def __init__(self, storage: Storage, args: VolumeBindingArgs | None = None) -> None:
        self._storage = storage
        self._timeout = (args or VolumeBindingArgs()).bind_timeout_seconds

    def may_help(self, pod: Pod, event: Event) -> bool:
        """A claim of the pod's own; volumes and nodes; what else makes more volumes, or makes them elsewhere."""
        was, now = event.was, event.now
        if event.node is not None or event.change is Change.VOLUME:
            return event.node is not None or now is not None
        if now is None:
            return False
        if event.change is Change.CLAIM:
            return claims.is_used(pod.claims, pod.namespace, now)
        if event.change is Change.CSI_DRIVER:
            return was is not None and _tells_capacity(was) and not _tells_capacity(now)
        if was is None or event.change is Change.CSI_NODE:
            return was is None
        if event.change is Change.CAPACITY:
            return _limit(now) > _limit(was)
        return now.get("allowedTopologies") != was.get("allowedTopologies")

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
        await self._storage.bind(client, pod.uid, self._timeout)


def _tells_capacity(driver: Obj) -> bool:
    return bool((driver.get("spec") or {}).get("storageCapacity"))


def _limit(capacity: Obj) -> Quantity:
    """The largest volume of a CSIStorageCapacity; less than nothing where it tells none."""
    return parse(capacity.get("maximumVolumeSize") or capacity.get("capacity") or "-1")


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
    found, reason = _find(wanted, place)
    if found is None:
        reasons.append(reason)
    if any(volume is None for volume in volumes):
        reasons.append(NO_VOLUME)
    return tuple(reasons) if reasons or found is None else found


def _find(wanted: Wanted, place: Place) -> tuple[Choice | None, str]:
    """Volumes for the claims that wait, the smallest claim first, or that they be made here; or why not."""
    bindings: list[tuple[str, str]] = []
    provisions: list[str] = []
    taken: set[str] = set()
    for claim in sorted(wanted.waiting, key=lambda c: (matching.requested(c), name(c))):
        node, promised = wanted.storage.promised(key(claim))
        selected = objects.annotations(claim).get(claims.SELECTED_NODE) or node
        if selected and selected != place.name:
            return None, BIND_CONFLICT
        if promised:
            bindings.append((key(claim), promised))
            continue
        free = [v for v in wanted.storage.candidates(claim) if name(v) not in taken] if not selected else []
        volume = matching.best(claim, free, place=place)
        if volume is not None:
            taken.add(name(volume))
            bindings.append((key(claim), name(volume)))
        elif not _is_made(claim, wanted.classes, place):
            return None, BIND_CONFLICT
        elif not wanted.storage.has_capacity(claim, place.labels):
            return None, NO_CAPACITY
        else:
            provisions.append(key(claim))
    return Choice(place.name, tuple(bindings), tuple(provisions)), ""


def _is_made(claim: Obj, classes: Mapping[str, Obj], place: Place) -> bool:
    """Whether the claim's class can make a volume for the node."""
    found = classes.get(claims.class_of(claim)) or {}
    provisioner = found.get("provisioner") or ""
    return provisioner not in ("", "kubernetes.io/no-provisioner") and matching.topology_allows(found, place)

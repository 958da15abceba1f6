"""Frozen views of pods and nodes: everything the plugins read, computed once per object version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from apimachinery.objects import Obj, controller_of, dumps
from apimachinery.pods import devices, placement
from apimachinery.pods.features import needed
from apimachinery.pods.placement import NodeTerm, Taint, Toleration
from apimachinery.pods.ports import HostPort, host_ports
from apimachinery.pods.requests import Amounts, amounts, in_effect, pod_requests
from apimachinery.quantity import parse
from apimachinery.volumes.claims import Use, uses
from controlplane.scheduler.disks import Disk, disks
from controlplane.scheduler.terms import NO_AFFINITY, PodAffinity, Spread, pod_affinity, spreads

DEFAULT_SCHEDULER = "default-scheduler"
# A container that asks for nothing still counts this much when nodes are compared (upstream's non-zero
# requests).
UNREQUESTED = {"cpu": parse("100m"), "memory": parse("200Mi")}
HOSTNAME = "kubernetes.io/hostname"
# Wishes that are remembered; then all are forgotten.
REMEMBERED = 1024
_wishes: dict[bytes, dict[str, Any]] = {}


@dataclass(frozen=True)
class Pod:
    """A pod as the scheduler sees it. `labels` must not be changed; `label_set` is its hashable form.

    `preempted`: it is being deleted for the sake of another pod.
    """

    key: str
    uid: str
    namespace: str
    name: str
    node_name: str
    profile: str
    priority: int
    created: str
    labels: Mapping[str, str]
    label_set: frozenset[tuple[str, str]]
    requests: Amounts
    scored: Amounts
    tolerations: tuple[Toleration, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    node_required: tuple[NodeTerm, ...] | None = None
    node_preferred: tuple[tuple[int, NodeTerm], ...] = ()
    ports: frozenset[HostPort] = frozenset()
    spread: tuple[Spread, ...] = ()
    affinity: PodAffinity = NO_AFFINITY
    gates: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    containers: int = 1
    claims: tuple[Use, ...] = ()
    devices: tuple[devices.Use, ...] = ()
    disks: tuple[Disk, ...] = ()
    owner: tuple[str, str] | None = None
    nominated: str = ""
    never_preempts: bool = False
    deleting: bool = False
    preempted: bool = False
    finished: bool = False
    started: str = ""


@dataclass(frozen=True)
class Node:
    """A node without its pods. `allocatable` has the unit rules of Amounts."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    allocatable: Amounts
    images: Mapping[str, int]
    features: frozenset[str] = frozenset()


def pod(obj: Obj) -> Pod:
    """The view of one v1 Pod object; a malformed quantity raises QuantityError."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    namespace, owner = meta.get("namespace", ""), controller_of(obj)
    return Pod(
        key=f"{namespace}/{meta['name']}",
        uid=meta.get("uid", ""),
        namespace=namespace,
        name=meta["name"],
        node_name=spec.get("nodeName") or "",
        created=meta.get("creationTimestamp") or "",
        claims=tuple(uses(obj)),
        owner=(owner["kind"], owner["name"]) if owner else None,
        **_wish(namespace, meta.get("labels") or {}, in_effect(spec, obj.get("status") or {})),
        **_state(obj),
    )


def _wish(namespace: str, labels: Obj, spec: Obj) -> dict[str, Any]:
    """The fields of a view that say what a pod asks for, and what is said of pods like it: one for all its copies.
    `spec`: with the requests that count.
    """
    place = dumps([namespace, labels, {**spec, "nodeName": ""}])
    found = _wishes.get(place)
    if found is None:
        if len(_wishes) >= REMEMBERED:
            _wishes.clear()
        found = _wishes[place] = _wished(namespace, labels, spec)
    return found


def _wished(namespace: str, labels: Obj, spec: Obj) -> dict[str, Any]:
    floored = pod_requests(spec, UNREQUESTED)
    affinity = spec.get("affinity") or {}
    return {
        "profile": spec.get("schedulerName") or DEFAULT_SCHEDULER,
        "priority": spec.get("priority") or 0,
        "labels": labels,
        "label_set": frozenset(labels.items()),
        "requests": pod_requests(spec),
        "scored": {name: floored.get(name, 0) for name in UNREQUESTED},
        "tolerations": placement.tolerations(spec),
        "node_selector": spec.get("nodeSelector") or {},
        "node_required": placement.required_terms(spec),
        "node_preferred": preferred_terms(affinity.get("nodeAffinity") or {}),
        "ports": frozenset(host_ports(spec)),
        "spread": spreads(spec, labels),
        "affinity": pod_affinity(affinity, namespace, labels),
        "gates": tuple(g["name"] for g in spec.get("schedulingGates") or ()),
        "features": needed(spec),
        "images": tuple(_images(spec)),
        "containers": len(spec.get("containers") or ()) + len(spec.get("initContainers") or ()),
        "disks": tuple(disks(spec)),
        "never_preempts": spec.get("preemptionPolicy") == "Never",
    }


def newer(obj: Obj, before: Obj, known: Pod) -> Pod:
    """The view of a pod's newer object. Most changes are of its state and labels alone: then all else stands as in
    `known`, the view of `before`.
    """
    if not _same_wish(before, obj):
        return pod(obj)
    spec, labels = obj.get("spec") or {}, obj["metadata"].get("labels") or {}
    state = {"node_name": spec.get("nodeName") or "", **_state(obj)}
    if labels != known.labels:
        # A binding brings labels of the node's (KEP-4742).
        near = pod_affinity(spec.get("affinity") or {}, known.namespace, labels)
        chosen = {"label_set": frozenset(labels.items()), "spread": spreads(spec, labels), "affinity": near}
        state |= {"labels": labels, **chosen}
    if all(getattr(known, field) == value for field, value in state.items()):
        return known
    return replace(known, **state)


def _same_wish(before: Obj, after: Obj) -> bool:
    """Whether two versions of a pod ask for the same, but for what is said of pods with its labels."""
    if any(before["metadata"].get(k) != after["metadata"].get(k) for k in ("uid", "ownerReferences")):
        return False
    if _resources_told(before) != _resources_told(after):
        return False
    old, new = (before.get("spec") or {}), (after.get("spec") or {})
    return old == new or {**old, "nodeName": ""} == {**new, "nodeName": ""}


def _resources_told(obj: Obj) -> list[Any]:
    """What of a pod's status counts in its requests."""
    status = obj.get("status") or {}
    told = [(s.get("resources"), s.get("allocatedResources")) for s in (status, *_container_statuses(status))]
    pending = [c.get("reason") for c in status.get("conditions") or () if c.get("type") == "PodResizePending"]
    return [told, pending] if any(resources for resources, _ in told) else []


def _container_statuses(status: Obj) -> Iterator[Obj]:
    for part in ("containerStatuses", "initContainerStatuses"):
        yield from status.get(part) or ()


def _state(obj: Obj) -> dict[str, Any]:
    """The fields of a view that change while a pod lives."""
    status, deleting = obj.get("status") or {}, "deletionTimestamp" in obj["metadata"]
    return {
        "nominated": status.get("nominatedNodeName") or "",
        "deleting": deleting,
        "preempted": deleting and _is_preempted(status),
        "finished": status.get("phase") in ("Succeeded", "Failed"),
        "started": status.get("startTime") or "",
        "devices": tuple(devices.uses(obj)),
    }


def preferred_terms(affinity: Obj) -> tuple[tuple[int, NodeTerm], ...]:
    """The preferred terms of a v1 NodeAffinity, each with its weight."""
    return tuple(
        (p.get("weight", 0), placement.node_term(p.get("preference") or {}))
        for p in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    )


def _images(spec: Obj) -> Iterator[str]:
    """Images of all containers, and of volumes that are images."""
    for name in ("initContainers", "containers"):
        yield from (container.get("image") or "" for container in spec.get(name) or ())
    for volume in spec.get("volumes") or ():
        if image := volume.get("image"):
            yield image.get("reference") or ""


def _is_preempted(status: Obj) -> bool:
    found = [c for c in status.get("conditions") or () if c.get("type") == "DisruptionTarget"]
    return any((c.get("status"), c.get("reason")) == ("True", "PreemptionByScheduler") for c in found)


def node(obj: Obj) -> Node:
    """The view of one v1 Node object."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return Node(
        name=obj["metadata"]["name"],
        labels=obj["metadata"].get("labels") or {},
        taints=placement.taints(obj),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable=amounts(status.get("allocatable") or status.get("capacity") or {}),
        images={name: i.get("sizeBytes", 0) for i in status.get("images") or () for name in i.get("names") or ()},
        features=frozenset(status.get("declaredFeatures") or ()),
    )

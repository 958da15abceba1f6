"""What the informers leave out of the objects they keep: fields nobody here reads cost most of the memory."""

from __future__ import annotations

import sys

from apimachinery.objects import Obj
from apimachinery.sharing import share

# What of each part of a pod `extract` reads, and what events and conditions about it need.
_METADATA = (
    "name", "namespace", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "labels", "ownerReferences",
)  # fmt: skip
# Of these, what many pods say alike.
_ALIKE = ("namespace", "creationTimestamp", "labels", "ownerReferences")
_SPEC = (
    "nodeName", "schedulerName", "priority", "preemptionPolicy", "nodeSelector", "affinity", "tolerations",
    "topologySpreadConstraints", "schedulingGates", "overhead", "resources", "hostNetwork", "hostUsers",
    "resourceClaims",
)  # fmt: skip
_CONTAINER = ("name", "image", "resources", "ports", "restartPolicy", "restartPolicyRules")
_STATUS = ("phase", "startTime", "nominatedNodeName", "resources", "allocatedResources", "resourceClaimStatuses")
_CONDITIONS = ("PodScheduled", "DisruptionTarget", "PodResizePending")
# Volumes that bind a pod to nothing.
_ANYWHERE = ("projected", "configMap", "secret", "emptyDir", "downwardAPI", "hostPath")


def what_is_scheduled(obj: Obj) -> Obj:
    """What of a pod matters to a scheduler without extenders, which are sent whole pods. Copies share their parts."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    kept = {key: share(spec[key]) for key in _SPEC if key in spec}
    for part in ("containers", "initContainers"):
        if part in spec:
            kept[part] = share([_some(container, _CONTAINER) for container in spec[part]])
    if volumes := [v for v in spec.get("volumes") or () if not any(kind in v for kind in _ANYWHERE)]:
        kept["volumes"] = volumes
    told = _some(status, _STATUS)
    if conditions := [c for c in status.get("conditions") or () if c.get("type") in _CONDITIONS]:
        told["conditions"] = [share(condition) for condition in conditions]
    for part in ("containerStatuses", "initContainerStatuses"):
        if listed := [s for s in status.get(part) or () if "resources" in s]:
            told[part] = share([_some(one, ("name", "resources", "allocatedResources")) for one in listed])
    metadata = _some(obj["metadata"], _METADATA)
    for struct, parts in ((metadata, _ALIKE), (told, ("phase", "startTime"))):
        for part in parts:
            if part in struct:
                struct[part] = share(struct[part])
    head = {"apiVersion": sys.intern(obj.get("apiVersion", "v1")), "kind": sys.intern(obj.get("kind", "Pod"))}
    return {**head, "metadata": metadata, "spec": kept, "status": told}


def _some(obj: Obj, keys: tuple[str, ...]) -> Obj:
    return {key: obj[key] for key in keys if key in obj}


def spec_selector_only(obj: Obj) -> Obj:
    """Metadata without managed fields, and the selector of the spec."""
    metadata = {key: obj["metadata"].get(key) for key in ("name", "namespace", "uid", "resourceVersion")}
    return {"metadata": metadata, "spec": {"selector": (obj.get("spec") or {}).get("selector")}}

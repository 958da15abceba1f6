"""Tables of volumes, claims, storage classes, CSI objects and device claims."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.objects import Obj
from apimachinery.volumes.claims import class_of
from controlplane.apiserver.tables import texts
from controlplane.apiserver.tables.spec import AGE, NAME, Column, Table, flag, number, text, wide

ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
DEFAULT_CLASS = ("kubernetes.io/", "beta.kubernetes.io/")


def _modes(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in ACCESS_MODES.items() if mode in (modes or ()))


def _phase(obj: Obj) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str((obj.get("status") or {}).get("phase", ""))


def _attributes_class(obj: Obj) -> str:
    found = obj["spec"].get("volumeAttributesClassName")
    return texts.UNSET if found is None else str(found)


def _volume(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    claim = spec.get("claimRef")
    return [
        texts.name(obj),
        (spec.get("capacity") or {}).get("storage", "0"),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        class_of(obj),
        _attributes_class(obj),
        (obj.get("status") or {}).get("reason", ""),
        texts.age(obj, now),
        spec.get("volumeMode") or texts.UNSET,
    ]


def _claim(obj: Obj, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        texts.name(obj),
        _phase(obj),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        class_of(obj),
        _attributes_class(obj),
        texts.age(obj, now),
        spec.get("volumeMode") or texts.UNSET,
    ]


def _storage_class(obj: Obj, now: datetime) -> list[Any]:
    annotations = obj["metadata"].get("annotations") or {}
    default = any(annotations.get(f"storageclass.{part}is-default-class") == "true" for part in DEFAULT_CLASS)
    return [
        texts.name(obj) + (texts.DEFAULT if default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        texts.age(obj, now),
    ]


def _driver(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    requests = [r.get("audience", "") for r in spec.get("tokenRequests") or ()]
    return [
        texts.name(obj),
        bool(spec.get("attachRequired", True)),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        texts.joined(requests) if requests else texts.UNSET,
        bool(spec.get("requiresRepublish")),
        texts.joined(spec.get("volumeLifecycleModes")) or texts.NONE,
        texts.age(obj, now),
    ]


def _csi_node(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), len(obj["spec"].get("drivers") or ()), texts.age(obj, now)]


def _attachment(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    return [
        texts.name(obj),
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName", ""),
        spec.get("nodeName", ""),
        bool((obj.get("status") or {}).get("attached")),
        texts.age(obj, now),
    ]


def _attributes(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), obj.get("driverName", ""), texts.age(obj, now)]


def _named(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), texts.age(obj, now)]


def _device_claim(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    deleted = bool(obj["metadata"].get("deletionTimestamp"))
    states = ["deleted"] if deleted else []
    if status.get("allocation") is None:
        states += [] if deleted else ["pending"]
    else:
        states += ["allocated", *(["reserved"] if status.get("reservedFor") else [])]
    return [texts.name(obj), ",".join(states), texts.age(obj, now)]


def _device_slice(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    pool = (spec.get("pool") or {}).get("name", "")
    return [texts.name(obj), spec.get("nodeName") or "", spec.get("driver", ""), pool, texts.age(obj, now)]


PERSISTENT_VOLUME = Table(
    columns=(
        NAME,
        text("Capacity", "core.v1.PersistentVolumeSpec#capacity"),
        text("Access Modes", "core.v1.PersistentVolumeSpec#accessModes"),
        text("Reclaim Policy", "core.v1.PersistentVolumeSpec#persistentVolumeReclaimPolicy"),
        text("Status", "core.v1.PersistentVolumeStatus#phase"),
        text("Claim", "core.v1.PersistentVolumeSpec#claimRef"),
        text("StorageClass", "StorageClass of the pv"),
        text("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
        text("Reason", "core.v1.PersistentVolumeStatus#reason"),
        AGE,
        wide("VolumeMode", "core.v1.PersistentVolumeSpec#volumeMode"),
    ),
    cells=_volume,
)
PERSISTENT_VOLUME_CLAIM = Table(
    columns=(
        NAME,
        text("Status", "core.v1.PersistentVolumeClaimStatus#phase"),
        text("Volume", "core.v1.PersistentVolumeClaimSpec#volumeName"),
        text("Capacity", "core.v1.PersistentVolumeClaimStatus#capacity"),
        text("Access Modes", "core.v1.PersistentVolumeClaimStatus#accessModes"),
        text("StorageClass", "StorageClass of the pvc"),
        text("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
        AGE,
        wide("VolumeMode", "core.v1.PersistentVolumeClaimSpec#volumeMode"),
    ),
    cells=_claim,
)
STORAGE_CLASS = Table(
    columns=(
        NAME,
        text("Provisioner", "storage.v1.StorageClass#provisioner"),
        text("ReclaimPolicy", "storage.v1.StorageClass#reclaimPolicy"),
        text("VolumeBindingMode", "storage.v1.StorageClass#volumeBindingMode"),
        text("AllowVolumeExpansion", "storage.v1.StorageClass#allowVolumeExpansion"),
        AGE,
    ),
    cells=_storage_class,
)
CSI_DRIVER = Table(
    columns=(
        NAME,
        flag("AttachRequired", "storage.v1.CSIDriverSpec#attachRequired"),
        flag("PodInfoOnMount", "storage.v1.CSIDriverSpec#podInfoOnMount"),
        flag("StorageCapacity", "storage.v1.CSIDriverSpec#storageCapacity"),
        text("TokenRequests", "storage.v1.CSIDriverSpec#tokenRequests"),
        flag("RequiresRepublish", "storage.v1.CSIDriverSpec#requiresRepublish"),
        text("Modes", "storage.v1.CSIDriverSpec#volumeLifecycleModes"),
        AGE,
    ),
    cells=_driver,
)
CSI_NODE = Table(
    columns=(
        NAME,
        number("Drivers", "Drivers indicates the number of CSI drivers registered on the node"),
        AGE,
    ),
    cells=_csi_node,
)
VOLUME_ATTACHMENT = Table(
    columns=(
        NAME,
        Column("Attacher", "storage.v1.VolumeAttachmentSpec#attacher", format="name"),
        text("PV", "storage.v1.VolumeAttachmentSource#persistentVolumeName"),
        text("Node", "storage.v1.VolumeAttachmentSpec#nodeName"),
        flag("Attached", "storage.v1.VolumeAttachmentStatus#attached"),
        AGE,
    ),
    cells=_attachment,
)
VOLUME_ATTRIBUTES_CLASS = Table(
    columns=(
        NAME,
        text("DriverName", "storage.v1.VolumeAttributesClass#driverName"),
        AGE,
    ),
    cells=_attributes,
)
DEVICE_CLASS = Table(
    columns=(
        NAME,
        AGE,
    ),
    cells=_named,
)
RESOURCE_CLAIM = Table(
    columns=(
        NAME,
        text("State", "A summary of the current state (allocated, pending, reserved, etc.)."),
        AGE,
    ),
    cells=_device_claim,
)
RESOURCE_CLAIM_TEMPLATE = Table(
    columns=(
        NAME,
        AGE,
    ),
    cells=_named,
)
RESOURCE_SLICE = Table(
    columns=(
        NAME,
        Column("Node", "resource.v1.ResourceSliceSpec#nodeName"),
        Column("Driver", "resource.v1.ResourceSliceSpec#driver"),
        Column("Pool", "resource.v1.ResourcePool#name"),
        AGE,
    ),
    cells=_device_slice,
)

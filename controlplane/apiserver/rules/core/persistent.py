"""Persistent volumes, and how claims change."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import normpath

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.volumes.claims import BETA_CLASS
from controlplane.apiserver.defaults.empties import copied, written
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core.claims import VOLUME_MODES, access_modes
from controlplane.apiserver.rules.core.resources import native, resource_amount
from controlplane.apiserver.rules.core.sources import csi_driver_name
from controlplane.apiserver.rules.core.volumes import NO_KIND, TOO_MANY
from controlplane.apiserver.rules.place import Place, Row, exists
from controlplane.apiserver.rules.shown import difference, struct
from controlplane.apiserver.rules.values import amount, each, no_way_up
from controlplane.apiserver.rules.words import by_path, changed, enum, form, hook, name, required, union, when

_RECLAIM = ("Delete", "Recycle", "Retain")
_INLINE = "may not be specified in the context of inline volumes"
_SOURCE_FROZEN = "spec.persistentvolumesource is immutable after creation"
_FROZEN = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
_MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_RESIZES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)
# Labels that became others; a volume may follow.
_RENAMED = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def _inlined(spec: Obj, at: Place) -> bool:
    return at.name == "inlineVolumeSpec"


def _standing(spec: Obj, at: Place) -> bool:
    return not _inlined(spec, at)


def _inline(spec: Obj, at: Place) -> Iterator[FieldError]:
    if spec.get("claimRef") is not None:
        yield errors.field_forbidden(at.to("claimRef"), _INLINE)
    if spec.get("capacity"):
        yield errors.field_forbidden(at.to("capacity"), _INLINE)
    if spec.get("csi") is None:
        yield errors.required(at.to("csi"), "has to be specified in the context of inline volumes")


def _capacity(spec: Obj, at: Place) -> Iterator[FieldError]:
    capacity, where = spec.get("capacity") or {}, at.to("capacity")
    if not capacity:
        yield errors.required(where)
    if set(capacity) != {"storage"}:
        yield errors.not_supported(where, dict(sorted(capacity.items())) or written(spec, "capacity"), ("storage",))
    for resource, text in sorted(capacity.items()):
        yield from _basic(f"{where}[{resource}]", text)
        if amount(text) <= amount(0):
            yield errors.invalid(f"{where}[{resource}]", text, "must be greater than zero")


def _inline_rest(spec: Obj, at: Place) -> Iterator[FieldError]:
    if spec.get("persistentVolumeReclaimPolicy") not in (None, "", "Retain"):
        text = "may only be Retain in the context of inline volumes"
        yield errors.field_forbidden(at.to("persistentVolumeReclaimPolicy"), text)
    if spec.get("nodeAffinity") is not None:
        yield errors.field_forbidden(at.to("nodeAffinity"), _INLINE)


def _inline_end(spec: Obj, at: Place) -> Iterator[FieldError]:
    if spec.get("storageClassName"):
        yield errors.field_forbidden(at.to("storageClassName"), _INLINE)
    if spec.get("volumeMode") not in (None, "Filesystem"):
        text = "may not specify volumeMode other than Filesystem in the context of inline volumes"
        yield errors.field_forbidden(at.to("volumeMode"), text)


def _recycled(spec: Obj, at: Place) -> Iterator[FieldError]:
    path = (spec["hostPath"] or {}).get("path") or ""
    if path and normpath(path) in ("/", "//") and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        yield errors.field_forbidden(at.to("persistentVolumeReclaimPolicy"), text)


def _attributes_class(spec: Obj, at: Place) -> Iterator[FieldError]:
    chosen, where = spec["volumeAttributesClassName"], at.to("volumeAttributesClassName")
    if not chosen:
        yield errors.required(where, "an empty string is disallowed")
    else:
        yield from each(where, chosen, formats.dns1123_subdomain(chosen))
    if spec.get("csi") is None:
        yield errors.required(at.to("csi"), "has to be specified when using volumeAttributesClassName")


_WITH_OPTIONS = (
    *("gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "iscsi", "cinder", "cephfs"),
    *("azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk"),
)


def _mount_options(volume: Obj, at: Place) -> Iterator[FieldError]:
    """As an annotation: their field may be set for all."""
    supported = any(volume["spec"].get(kind) is not None for kind in _WITH_OPTIONS)
    if not supported and _MOUNT_OPTIONS in (volume["metadata"].get("annotations") or {}):
        text = "may not specify mount options for this volume type"
        yield errors.field_forbidden(f"metadata.annotations.{_MOUNT_OPTIONS}", text)


def _local(source: Obj, at: Place) -> Iterator[FieldError]:
    path = source.get("path") or ""
    yield from no_way_up(at.to("path"), path) if path else [errors.required(at.to("path"))]
    around = at.above()
    if _inlined(around.value, around) or around.value.get("nodeAffinity") is None:
        yield errors.required(around.to("nodeAffinity"), "Local volume requires node affinity")


def _endpoints_namespace(source: Obj, at: Place) -> Iterator[FieldError]:
    space, where = source["endpointsNamespace"], at.to("endpointsNamespace")
    if not space:
        text = "if the endpointnamespace is set, it must be a valid namespace name"
        yield errors.invalid(where, space, text)
    else:
        yield from each(where, space, formats.dns1123_label(space))


def _secret_namespace(source: Obj, at: Place) -> Iterator[FieldError]:
    if source["secretNamespace"] == "":
        yield errors.required(at.to("secretNamespace"))


# --- changes of a volume ---

_KINDS = [
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "hostPath",
    "glusterfs",
    "nfs",
    "rbd",
    "quobyte",
    "iscsi",
    "flexVolume",
    "cinder",
    "cephfs",
    "fc",
    "flocker",
    "azureFile",
    "vsphereVolume",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "local",
    "storageos",
    "csi",
]


def _volume_change(volume: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """Where a volume is cannot change, nor how it is handed over."""
    spec, was = volume["spec"], before["spec"]
    new, old = ({kind: each[kind] for kind in _KINDS if each.get(kind) is not None} for each in (spec, was))
    if "csi" in new and "csi" in old and old["csi"].get("controllerExpandSecretRef") is None:
        # It may come later.
        new["csi"] = copied(new["csi"])
        new["csi"].pop("controllerExpandSecretRef", None)
    if new != old:
        shown = difference("core.v1.PersistentVolumeSource", old, new)
        yield errors.field_forbidden("spec.persistentvolumesource", f"{_SOURCE_FROZEN}\n{shown}")
    if spec.get("volumeMode") != was.get("volumeMode"):
        yield errors.immutable("volumeMode", spec.get("volumeMode"))
    now, then = spec.get("nodeAffinity"), was.get("nodeAffinity")
    if then is not None and now != then and now != _renamed(now, then):
        affinity = struct("core.v1.VolumeNodeAffinity", now) if now is not None else None
        yield errors.invalid("nodeAffinity", affinity, "field is immutable, except for updating from beta label to GA")
    if was.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        text = "update from non-nil value to nil is forbidden"
        yield errors.field_forbidden("spec.volumeAttributesClassName", text)


def _renamed(now: Obj | None, then: Obj) -> Obj:
    """What was there, under the newer names of labels where the new one has these."""
    made: Obj = copied(then)
    terms = [((each or {}).get("required") or {}).get("nodeSelectorTerms") or [] for each in (now, made)]
    for new_term, old_term in zip(*terms, strict=False):
        for field in ("matchExpressions", "matchFields"):
            for new, old in zip(new_term.get(field) or (), old_term.get(field) or (), strict=False):
                # Any key but a beta one leads to none, which is also what upstream reads where the new one has none.
                if _RENAMED.get(old.get("key"), "") == (new.get("key") or ""):
                    old.pop("key", None)
                    old.update({"key": new["key"]} if "key" in new else {})
    return made


# --- changes of a claim ---


def _claim_change(claim: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """A claim's spec stands, but for what binding writes, and for more storage and another class once bound."""
    spec, was = copied(claim["spec"]), copied(before["spec"])
    if not was.get("volumeName"):
        _take(was, spec, "volumeName")
    new, old = (((each["metadata"].get("annotations") or {}).get(BETA_CLASS)) for each in (claim, before))
    filled = was.get("storageClassName") is None and spec.get("storageClassName") is not None
    if filled and old is not None and spec["storageClassName"] == old and new in (None, old):
        del spec["storageClassName"]
    else:
        if (new or "") != (old or ""):
            yield errors.immutable(f"metadata.annotations.{BETA_CLASS}", new or "")
        if filled and old in (None, spec["storageClassName"]):
            _take(spec, was, "storageClassName")
    if (claim.get("status") or {}).get("phase") == "Bound":
        if (spec.get("resources") or {}).get("requests"):
            _take(spec["resources"]["requests"], (was.get("resources") or {}).get("requests") or {}, "storage")
        _take(spec, was, "volumeAttributesClassName")
    if spec != was:
        shown = difference("core.v1.PersistentVolumeClaimSpec", was, spec)
        yield errors.field_forbidden("spec", f"{_FROZEN}\n{shown}")
    yield from _smaller(claim["spec"], before)
    if claim["spec"].get("volumeMode") != before["spec"].get("volumeMode"):
        yield errors.immutable("volumeMode", claim["spec"].get("volumeMode"))
    yield from _class_lost(claim["spec"], before)


def _take(into: Obj, source: Obj, field: str) -> None:
    into.pop(field, None)
    if field in source:
        into[field] = source[field]


def _storage(spec: Obj) -> str:
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage") or "0"


def _smaller(spec: Obj, before: Obj) -> Iterator[FieldError]:
    """A claim may ask for less again while its volume has not grown to what it asked for."""
    wanted = amount(_storage(spec))
    has = amount(((before.get("status") or {}).get("capacity") or {}).get("storage") or 0)
    if wanted < amount(_storage(before["spec"])) and wanted <= has:
        text = "field can not be less than status.capacity"
        yield errors.field_forbidden("spec.resources.requests.storage", text)


def _class_lost(spec: Obj, before: Obj) -> Iterator[FieldError]:
    now, path = spec.get("volumeAttributesClassName"), "spec.volumeAttributesClassName"
    applied = (before.get("status") or {}).get("currentVolumeAttributesClassName")
    if now == before["spec"].get("volumeAttributesClassName") or applied is None or now:
        return
    what = "nil" if now is None else "empty string"
    text = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
    yield errors.field_forbidden(path, text)


def _claim_status(claim: Obj, at: Place) -> Iterator[FieldError]:
    status = claim.get("status") or {}
    if not claim["spec"].get("accessModes"):
        yield errors.required("Spec.accessModes")
    for resource, text in sorted((status.get("capacity") or {}).items()):
        yield from _basic(f"status.capacity[{resource}]", text)
    for resource, state in sorted((status.get("allocatedResourceStatuses") or {}).items()):
        yield from _resizable("status.allocatedResourceStatuses", resource)
        if state not in _RESIZES:
            yield errors.not_supported("status.allocatedResourceStatuses", resource, _RESIZES)
    for resource, text in sorted((status.get("allocatedResources") or {}).items()):
        where = f"status.allocatedResources[{resource}]"
        wrong = [*_resizable("status.allocatedResources", resource)] or [*_basic(where, text)]
        yield from wrong or resource_amount(where, "storage", text)


def _basic(path: str, text: str) -> Iterator[FieldError]:
    if amount(text).value() < 0:
        yield errors.invalid(path, amount(text).value(), "must be a valid resource quantity")


def _resizable(path: str, resource: str) -> Iterator[FieldError]:
    if complaints := formats.qualified_name(resource):
        yield from each(path, resource, complaints)
    elif native(resource) and resource != "storage":
        yield errors.not_supported(path, resource, ("storage",))


_SECRET: Row = (name("name", formats.dns1123_subdomain), name("namespace", formats.dns1123_label))
_SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")

RULES: dict[str, Row] = {
    "core.v1.PersistentVolumeClaim": ("spec", changed(_claim_change)),
    "core.v1.PersistentVolumeClaim/status": (hook(_claim_status),),
    "core.v1.PersistentVolume": (
        "spec",
        hook(_mount_options),
        # Upstream looks twice at a volume that is changed.
        when(exists, "spec"),
        changed(_volume_change),
    ),
    "core.v1.PersistentVolumeSpec": (
        when(_inlined, hook(_inline)),
        required("accessModes"),
        hook(access_modes, "accessModes"),
        when(_standing, hook(_capacity), enum("persistentVolumeReclaimPolicy", _RECLAIM, "pass"), "nodeAffinity"),
        when(_inlined, hook(_inline_rest)),
        union(
            "hostPath",
            ("gcePersistentDisk", "gcePersistentDisk", "persistentDisk"),
            "awsElasticBlockStore",
            "glusterfs",
            "flocker",
            "nfs",
            "rbd",
            "quobyte",
            ("cephfs", "cephFS", "cephfs"),
            "iscsi",
            "cinder",
            "fc",
            "flexVolume",
            "azureFile",
            "vsphereVolume",
            "photonPersistentDisk",
            "portworxVolume",
            "azureDisk",
            "scaleIO",
            "local",
            "storageos",
            "csi",
            many=TOO_MANY,
            none=NO_KIND,
            welcome=("flexVolume",),
        ),
        hook(_recycled, "hostPath"),
        when(
            _standing,
            form("storageClassName", formats.dns1123_subdomain),
            enum("volumeMode", VOLUME_MODES),
        ),
        when(_standing, hook(_attributes_class, "volumeAttributesClassName")),
        when(_inlined, hook(_inline_end)),
    ),
    "core.v1.VolumeNodeAffinity": (
        required("required", detail="must specify required node constraints"),
        "required",
    ),
    "core.v1.GlusterfsPersistentVolumeSource": (
        required("endpoints"),
        required("path"),
        hook(_endpoints_namespace, "endpointsNamespace"),
    ),
    "core.v1.AzureFilePersistentVolumeSource": (
        required("secretName"),
        required("shareName"),
        hook(_secret_namespace, "secretNamespace"),
    ),
    "core.v1.LocalVolumeSource": (hook(_local),),
    "core.v1.CSIPersistentVolumeSource": (
        by_path("driver", csi_driver_name, "required"),
        required("volumeHandle"),
        *(inside(field) for field in _SECRETS),
    ),
    **{f"core.v1.CSIPersistentVolumeSource.{field}": _SECRET for field in _SECRETS},
}

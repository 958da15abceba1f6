"""The storage group: classes, drivers, attachments, capacities."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.defaults.empties import written
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.core.sources import csi_driver_name
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import MAX_INT32, NOT_NEGATIVE, amount, each
from controlplane.apiserver.rules.words import (
    any_form,
    by_path,
    changed,
    enum,
    hook,
    immutable,
    not_negative,
    required,
    unique,
    when,
)

_MOST_PARAMETERS, _MOST_BYTES = 512, 256 * 1024
_TEN_MINUTES, _MOST_SECONDS = 600, 1 << 32
_NODE_ID_MOST = 256
_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
_TOLD = {"attachRequired": "attachedRequired", "podInfoOnMount": "podInfoOnMount", "storageCapacity": "storageCapacity"}
_SPEC = inside("spec", always=True)


# --- classes ---


def _provisioner(path: str, text: str) -> list[FieldError]:
    """Its case does not matter, and is not shown."""
    return each(path, text.lower(), formats.qualified_name(text.lower()))


def _parameters(obj: Obj, at: Place) -> Iterator[FieldError]:
    listed = obj.get("parameters") or {}
    if len(listed) > _MOST_PARAMETERS:
        yield errors.too_long("parameters", _MOST_PARAMETERS)
        return
    if "" in listed:
        yield errors.invalid("parameters", "", "field can not be empty.")
    if sum(len(key.encode()) + len((value or "").encode()) for key, value in listed.items()) > _MOST_BYTES:
        yield errors.too_long("parameters", _MOST_BYTES)


def _topologies(obj: Obj, at: Place) -> Iterator[FieldError]:
    """Terms and, within each, keys and values are there once."""
    listed = obj["allowedTopologies"] or ()
    # Upstream begins with as many terms that say nothing as there are terms.
    seen: list[dict[str, set[str]]] = [{} for _ in listed]
    for index, term in enumerate(listed):
        where, keys = f"allowedTopologies[{index}].matchLabelExpressions", dict[str, set[str]]()
        for place, expression in enumerate(term.get("matchLabelExpressions") or ()):
            yield from _topology(f"{where}[{place}]", expression, keys)
        yield from (errors.duplicate(where, "") for known in seen if known == keys)
        seen.append(keys)


def _topology(path: str, expression: Obj, keys: dict[str, set[str]]) -> Iterator[FieldError]:
    key, known = expression.get("key") or "", set[str]()
    if not expression.get("values"):
        yield errors.required(f"{path}.values")
    for index, value in enumerate(expression.get("values") or ()):
        if value in known:
            yield errors.duplicate(f"{path}.values[{index}]", value)
        known.add(value)
    yield from each(f"{path}.key", key, formats.qualified_name(key))
    if key in keys:
        yield errors.duplicate(f"{path}.key", key)
    keys[key] = known


def _attributes_stand(obj: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    for field in ("driverName", "parameters"):
        if obj.get(field) != before.get(field):
            yield errors.field_forbidden(field, f"updates to {field} are forbidden.")


# --- drivers ---


def _told(spec: Obj, at: Place) -> Iterator[FieldError]:
    """What a driver must say of itself; one field has another name in upstream's complaints."""
    for field, shown in _TOLD.items():
        if spec.get(field) is None:
            yield errors.required(at.to(shown))


def _tokens(spec: Obj, at: Place) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, request in enumerate(spec["tokenRequests"] or ()):
        path, audience, seconds = f"{at.to('tokenRequests')}[{index}]", request.get("audience") or "", None
        if audience in seen:
            yield errors.duplicate(f"{path}.audience", audience)
        else:
            seconds = request.get("expirationSeconds")
        seen.add(audience)
        if seconds is not None and seconds < _TEN_MINUTES:
            text = "may not specify a duration less than 10 minutes"
            yield errors.invalid(f"{path}.expirationSeconds", seconds, text)
        if seconds is not None and seconds > _MOST_SECONDS:
            text = "may not specify a duration larger than 2^32 seconds"
            yield errors.invalid(f"{path}.expirationSeconds", seconds, text)


def _lifecycles(spec: Obj, at: Place) -> Iterator[FieldError]:
    for mode in spec["volumeLifecycleModes"] or ():
        if mode not in ("Persistent", "Ephemeral"):
            yield errors.not_supported(at.to("volumeLifecycleModes"), mode, ("Persistent", "Ephemeral"))


def _rest(spec: Obj, at: Place) -> Iterator[FieldError]:
    if spec.get("seLinuxMount") is None:
        yield errors.required(at.to("seLinuxMount"))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        text = "must be greater than or equal to 10 seconds"
        yield errors.invalid(at.to("nodeAllocatableUpdatePeriodSeconds"), period, text)
    kept = spec.get("serviceAccountTokenInSecrets")
    if kept is not None and not spec.get("tokenRequests"):
        text = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        yield errors.invalid(at.to("serviceAccountTokenInSecrets"), kept, text)


def _driver_stands(spec: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    for field in ("attachRequired", "volumeLifecycleModes"):
        if spec.get(field) != before.get(field):
            yield errors.immutable(at.to(_TOLD.get(field, field)), spec.get(field))


# --- nodes ---


def _node_id(driver: Obj, at: Place) -> Iterator[FieldError]:
    identity = driver.get("nodeID") or ""
    if not identity:
        yield errors.required(at.to("nodeID"))
    if len(identity.encode()) > _NODE_ID_MOST:
        yield errors.invalid(at.to("nodeID"), identity, f"must be {_NODE_ID_MOST} characters or less")


def _topology_keys(driver: Obj, at: Place) -> Iterator[FieldError]:
    """Paths here end at the driver, as upstream's do."""
    seen: set[str] = set()
    for key in driver["topologyKeys"] or ():
        if not key:
            yield errors.required(at.path)
        if key in seen:
            yield errors.duplicate(at.path, key)
        seen.add(key)
        yield from each(at.path, key, formats.qualified_name(key))


def _drivers_stand(spec: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """A driver's entry stands as long as the driver is there; what it can take may change."""
    for was in before.get("drivers") or ():
        for now in spec.get("drivers") or ():
            told = {**now, "allocatable": None}
            if now.get("name") == was.get("name") and told != {**was, "allocatable": None}:
                shown = {**told, "topologyKeys": written(now, "topologyKeys")}
                yield errors.immutable(at.to("drivers"), struct("storage.v1.CSINodeDriver", shown))


# --- attachments and capacities ---


def _source(source: Obj, at: Place) -> Iterator[FieldError]:
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if inline is None and volume is None:
        yield errors.required(at.path, _ONE_SOURCE)
    elif inline is not None and volume is not None:
        yield errors.field_forbidden(at.path, _ONE_SOURCE)
    elif volume == "":
        yield errors.required(at.to("persistentVolumeName"), "must specify non empty persistentVolumeName")


def _inline(source: Obj, at: Place) -> bool:
    return source.get("persistentVolumeName") is None


def _volume(attachment: Obj, at: Place) -> Iterator[FieldError]:
    volume = ((attachment.get("spec") or {}).get("source") or {}).get("persistentVolumeName")
    if volume is not None:
        yield from each("spec.source.persistentVolumeName", volume, formats.dns1123_subdomain(volume))


def _metadata(status: Obj, at: Place) -> Iterator[FieldError]:
    listed = status["attachmentMetadata"] or {}
    if sum(len(key.encode()) + len((value or "").encode()) for key, value in listed.items()) > _MOST_BYTES:
        yield errors.too_long(at.to("attachmentMetadata"), _MOST_BYTES)


def _failure(error: Obj, at: Place) -> Iterator[FieldError]:
    code = error.get("errorCode")
    if len((error.get("message") or "").encode()) > 1024:
        # Upstream tells another limit than the one it checks.
        yield errors.too_long(at.to("message"), _MOST_BYTES)
    if code is not None and code < 0:
        yield errors.invalid(at.to("errorCode"), code, f"must be between 0 and {MAX_INT32}, inclusive")


def _room(capacity: Obj, at: Place) -> Iterator[FieldError]:
    if capacity["capacity"] is not None and amount(capacity["capacity"]) < amount(0):
        yield errors.invalid("capacity", capacity["capacity"], NOT_NEGATIVE)


_ATTACHMENT: Row = (_SPEC, inside("status", always=True), hook(_volume), immutable("spec"))

RULES: dict[str, Row] = {
    "storage.v1.StorageClass": (
        by_path("provisioner", _provisioner, "required"),
        hook(_parameters),
        enum("reclaimPolicy", ("Delete", "Retain"), "pass"),
        enum("volumeBindingMode", ("Immediate", "WaitForFirstConsumer"), "given"),
        hook(_topologies, "allowedTopologies"),
        immutable("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
    ),
    "storage.v1.VolumeAttributesClass": (
        changed(_attributes_stand),
        by_path("driverName", _provisioner, "required"),
        hook(_parameters),
        required("parameters", detail="must contain at least one key/value pair"),
    ),
    "storage.v1.CSIDriver": (_SPEC,),
    "storage.v1.CSIDriverSpec": (
        hook(_told),
        enum("fsGroupPolicy", ("File", "None", "ReadWriteOnceWithFSType")),
        hook(_tokens, "tokenRequests"),
        hook(_lifecycles, "volumeLifecycleModes"),
        hook(_rest),
        changed(_driver_stands),
    ),
    "storage.v1.CSINode": (_SPEC,),
    "storage.v1.CSINodeSpec": ("drivers", changed(_drivers_stand)),
    "storage.v1.CSINodeDriver": (
        by_path("name", csi_driver_name, "required"),
        hook(_node_id),
        "allocatable",
        unique("name", empty=True),
        hook(_topology_keys, "topologyKeys"),
    ),
    "storage.v1.VolumeNodeResources": (not_negative("count"),),
    "storage.v1.VolumeAttachment": _ATTACHMENT,
    "storage.v1.VolumeAttachment/status": _ATTACHMENT,
    "storage.v1.VolumeAttachmentSpec": (
        by_path("attacher", csi_driver_name, "required"),
        inside("source", always=True),
        any_form("nodeName", formats.dns1123_subdomain),
    ),
    "storage.v1.VolumeAttachmentSource": (hook(_source), when(_inline, "inlineVolumeSpec")),
    "storage.v1.VolumeAttachmentStatus": (hook(_metadata, "attachmentMetadata"), "attachError", "detachError"),
    "storage.v1.VolumeError": (hook(_failure),),
    "storage.v1.CSIStorageCapacity": (
        "nodeTopology",
        any_form("storageClassName", formats.dns1123_subdomain),
        hook(_room, "capacity"),
        immutable("nodeTopology", "storageClassName"),
    ),
}

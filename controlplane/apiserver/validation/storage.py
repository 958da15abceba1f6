"""The storage group: classes, drivers, attachments, capacities."""

from __future__ import annotations

from apimachinery import errors, formats
from controlplane.apiserver.rules.core.volumes import csi_driver_name
from controlplane.apiserver.rules.tables import rules
from controlplane.apiserver.rules.values import (
    MAX_INT32,
    Found,
    Obj,
    amount,
    each,
    enum,
    frozen,
    label_selector,
    name,
    not_negative,
)
from controlplane.apiserver.validation import shapes

_MOST_PARAMETERS, _MOST_BYTES = 512, 256 * 1024
_RECLAIM, _BINDING = ("Delete", "Retain"), ("Immediate", "WaitForFirstConsumer")
_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
# In this order upstream lists them.
_LIFECYCLES = ("Persistent", "Ephemeral")
_TEN_MINUTES, _MOST_SECONDS = 600, 1 << 32
_NODE_ID_MOST = 256


def storage_class(obj: Obj) -> Found:
    provisioner = obj.get("provisioner") or ""
    found = name("provisioner", provisioner.lower(), formats.qualified_name)
    found += _parameters(obj.get("parameters") or {})
    if obj.get("reclaimPolicy"):
        found += enum("reclaimPolicy", obj["reclaimPolicy"], _RECLAIM)
    mode = obj.get("volumeBindingMode")
    found += [errors.required("volumeBindingMode")] if mode is None else enum("volumeBindingMode", mode, _BINDING)
    return found + _topologies("allowedTopologies", obj.get("allowedTopologies") or [])


def _parameters(parameters: dict[str, str], allow_empty: bool = True) -> Found:
    if not parameters and not allow_empty:
        return [errors.required("parameters", "must contain at least one key/value pair")]
    if len(parameters) > _MOST_PARAMETERS:
        return [errors.too_long("parameters", _MOST_PARAMETERS)]
    found = [errors.invalid("parameters", key, "field can not be empty.") for key in parameters if not key]
    size = sum(len(key.encode()) + len((value or "").encode()) for key, value in parameters.items())
    return [*found, errors.too_long("parameters", _MOST_BYTES)] if size > _MOST_BYTES else found


def _topologies(path: str, terms: list[Obj]) -> Found:
    found: Found = []
    seen: list[dict[str, set[str]]] = []
    for index, term in enumerate(terms):
        where = f"{path}[{index}]"
        keys: dict[str, set[str]] = {}
        for place, expression in enumerate(term.get("matchLabelExpressions") or ()):
            found += _topology(f"{where}.matchLabelExpressions[{place}]", expression, keys)
        if keys in seen:
            found.append(errors.duplicate(f"{where}.matchLabelExpressions", ""))
        seen.append(keys)
    return found


def _topology(path: str, expression: Obj, keys: dict[str, set[str]]) -> Found:
    key, values = expression.get("key") or "", expression.get("values") or []
    found: Found = []
    if not values:
        found.append(errors.required(f"{path}.values"))
    known: set[str] = set()
    for index, value in enumerate(values):
        if value in known:
            found.append(errors.duplicate(f"{path}.values[{index}]", value))
        known.add(value)
    found += each(f"{path}.key", key, formats.qualified_name(key))
    if key in keys:
        found.append(errors.duplicate(f"{path}.key", key))
    keys[key] = known
    return found


def storage_class_change(new: Obj, old: Obj) -> Found:
    return frozen(new, old, "parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")


# --- drivers ---


def driver(obj: Obj) -> Found:
    spec = obj["spec"]
    found = driver_name("metadata.name", obj["metadata"].get("name") or "") if obj["metadata"].get("name") else []
    for field in ("attachRequired", "podInfoOnMount", "storageCapacity"):
        if spec.get(field) is None:
            found.append(errors.required(f"spec.{_DRIVER_PATHS.get(field, field)}"))
    if spec.get("fsGroupPolicy"):
        found += enum("spec.fsGroupPolicy", spec["fsGroupPolicy"], _GROUP_POLICIES)
    found += _tokens(spec.get("tokenRequests") or [])
    for mode in spec.get("volumeLifecycleModes") or ():
        found += enum("spec.volumeLifecycleModes", mode, _LIFECYCLES)
    if spec.get("seLinuxMount") is None:
        found.append(errors.required("spec.seLinuxMount"))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        text = "must be greater than or equal to 10 seconds"
        found.append(errors.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, text))
    return found


# Upstream's name for a field, where its complaints know it by another.
_DRIVER_PATHS = {"attachRequired": "attachedRequired"}


def _tokens(listed: list[Obj]) -> Found:
    found: Found = []
    seen: set[str] = set()
    for index, request in enumerate(listed):
        path, audience = f"spec.tokenRequests[{index}]", request.get("audience") or ""
        if audience in seen:
            found.append(errors.duplicate(f"{path}.audience", audience))
            continue
        seen.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is None:
            continue
        if seconds < _TEN_MINUTES:
            text = "may not specify a duration less than 10 minutes"
            found.append(errors.invalid(f"{path}.expirationSeconds", seconds, text))
        if seconds > _MOST_SECONDS:
            text = "may not specify a duration larger than 2^32 seconds"
            found.append(errors.invalid(f"{path}.expirationSeconds", seconds, text))
    return found


def driver_change(new: Obj, old: Obj) -> Found:
    found: Found = []
    for field in ("attachRequired", "volumeLifecycleModes"):
        if new["spec"].get(field) != old["spec"].get(field):
            found.append(errors.immutable(f"spec.{_DRIVER_PATHS.get(field, field)}", new["spec"].get(field)))
    return found


# --- nodes ---


def node(obj: Obj) -> Found:
    found: Found = []
    names: set[str] = set()
    for index, entry in enumerate(obj["spec"].get("drivers") or ()):
        found += _node_driver(f"spec.drivers[{index}]", entry)
        title = entry.get("name") or ""
        if title in names:
            found.append(errors.duplicate(f"spec.drivers[{index}].name", title))
        names.add(title)
    return found


def _node_driver(path: str, entry: Obj) -> Found:
    found = driver_name(f"{path}.name", entry.get("name") or "")
    identity = entry.get("nodeID") or ""
    if not identity:
        found.append(errors.required(f"{path}.nodeID"))
    elif len(identity) > _NODE_ID_MOST:
        found.append(errors.invalid(f"{path}.nodeID", identity, f"must be {_NODE_ID_MOST} characters or less"))
    count = (entry.get("allocatable") or {}).get("count")
    found += not_negative(f"{path}.allocatable.count", count)
    keys: set[str] = set()
    for key in entry.get("topologyKeys") or ():
        if key in keys:
            found.append(errors.duplicate(f"{path}.topologyKeys", key))
        keys.add(key)
        found += each(f"{path}.topologyKeys", key, formats.qualified_name(key))
    return found


def node_change(new: Obj, old: Obj) -> Found:
    """A driver's entry stands as long as the driver is there; what it can take may change."""
    found: Found = []
    before = {entry.get("name"): entry for entry in old["spec"].get("drivers") or ()}
    for index, entry in enumerate(new["spec"].get("drivers") or ()):
        was = before.get(entry.get("name"))
        if was is not None and _identity(was) != _identity(entry):
            text = "field is immutable"
            found.append(errors.invalid(f"spec.drivers[{index}]", entry, text))
    return found


def _identity(entry: Obj) -> Obj:
    return {key: value for key, value in entry.items() if key != "allocatable"}


# --- attachments, capacities, attributes ---


def attachment(obj: Obj) -> Found:
    spec, status = obj["spec"], obj.get("status") or {}
    found: Found = []
    attacher = spec.get("attacher") or ""
    found += driver_name("spec.attacher", attacher)
    source = spec.get("source") or {}
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if inline is None and not volume:
        if volume is None:
            text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            found.append(errors.required("spec.source", text))
        else:
            text = "must specify non empty persistentVolumeName"
            found.append(errors.required("spec.source.persistentVolumeName", text))
    elif inline is not None and volume is not None:
        text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        found.append(errors.field_forbidden("spec.source", text))
    elif inline is not None:
        found += rules().of_type(
            "core.v1.PersistentVolumeSpec", "spec.source.inlineVolumeSpec", inline, "VolumeAttachment"
        )
    found += name("spec.nodeName", spec.get("nodeName"), formats.dns1123_subdomain)
    for field in ("attachError", "detachError"):
        code = (status.get(field) or {}).get("errorCode")
        if code is not None and not 0 <= code <= MAX_INT32:
            found.append(errors.invalid(f"status.{field}.errorCode", code, "must be greater than or equal to 0"))
    return found


def attachment_change(new: Obj, old: Obj) -> Found:
    if new["spec"] == old["spec"]:
        return []
    return [errors.immutable("spec", shapes.shown(shapes.ATTACHMENT_SPEC, new["spec"]))]


def capacity(obj: Obj) -> Found:
    found = label_selector("nodeTopology", obj.get("nodeTopology"))
    chosen = obj.get("storageClassName") or ""
    found += each("storageClassName", chosen, formats.dns1123_subdomain(chosen))
    for field in ("capacity", "maximumVolumeSize"):
        if obj.get(field) is not None and amount(obj[field]) < amount(0):
            found.append(errors.invalid(field, obj[field], "must be greater than or equal to 0"))
    return found


def capacity_change(new: Obj, old: Obj) -> Found:
    return frozen(new, old, "nodeTopology", "storageClassName")


def attributes_class(obj: Obj) -> Found:
    found = driver_name("driverName", obj.get("driverName") or "")
    return found + _parameters(obj.get("parameters") or {}, allow_empty=False)


def attributes_class_change(new: Obj, old: Obj) -> Found:
    return [
        errors.field_forbidden(field, f"updates to {field} are forbidden.")
        for field in ("driverName", "parameters")
        if new.get(field) != old.get(field)
    ]


def driver_name(path: str, text: str) -> Found:
    """The name of a CSI driver: a domain of at most 63 characters, in either case."""
    return csi_driver_name(path, text) if text else [errors.required(path)]

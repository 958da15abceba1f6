"""Persistent volume claims, and their templates."""

from __future__ import annotations

from apimachinery import errors, formats
from controlplane.apiserver.validation import shapes
from controlplane.apiserver.validation.fields import Found, Obj, amount, amounts, each, enum, label_selector

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
_FROZEN = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def claim(obj: Obj) -> Found:
    return claim_spec("spec", obj["spec"])


def claim_spec(path: str, spec: Obj) -> Found:
    """The spec of a claim or of a template of claims."""
    found = label_selector(f"{path}.selector", spec.get("selector"))
    modes = spec.get("accessModes") or []
    if not modes:
        found.append(errors.required(f"{path}.accessModes", "at least 1 access mode is required"))
    found += access_modes(f"{path}.accessModes", modes)
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        found.append(errors.required(f"{path}.resources[storage]"))
    elif amount(storage) <= amount(0):
        found.append(errors.invalid(f"{path}.resources[storage]", storage, "must be greater than zero"))
    if spec.get("storageClassName"):
        name = spec["storageClassName"]
        found += each(f"{path}.storageClassName", name, formats.dns1123_subdomain(name))
    if spec.get("volumeMode") is not None:
        found += enum(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    found += _sources(path, spec)
    if spec.get("volumeAttributesClassName"):
        name = spec["volumeAttributesClassName"]
        found += each(f"{path}.volumeAttributesClassName", name, formats.dns1123_subdomain(name))
    return found


def access_modes(path: str, modes: list[str]) -> Found:
    found: Found = []
    for mode in modes:
        found += enum(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        found.append(errors.field_forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return found


def _sources(path: str, spec: Obj) -> Found:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    found: Found = []
    for field, value in (("dataSource", source), ("dataSourceRef", reference)):
        if value is not None:
            found += _source(f"{path}.{field}", value)
    if source is None or reference is None:
        return found
    if reference.get("namespace"):
        text = "may not be specified when dataSourceRef.namespace is specified"
        found.append(errors.invalid(f"{path}.dataSource", path, text))
    elif any((source.get(key) or "") != (reference.get(key) or "") for key in ("apiGroup", "kind", "name")):
        found.append(errors.invalid(path, {}, "must match dataSourceRef"))
    return found


def _source(path: str, source: Obj) -> Found:
    found = [errors.required(f"{path}.{key}") for key in ("name", "kind") if not source.get(key)]
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        found.append(errors.invalid(path, source.get("kind") or "", _NO_GROUP))
    elif group:
        found += each(f"{path}.apiGroup", group, formats.dns1123_subdomain(group))
    return found


_NO_GROUP = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"


# --- changes ---


def claim_change(new: Obj, old: Obj) -> Found:
    """A claim's spec stands, but for what binding writes, more storage once bound, and the attributes class."""
    spec, was = dict(new["spec"]), dict(old["spec"])
    if not was.get("volumeName"):
        was["volumeName"] = spec.get("volumeName", "")
    if _class_filled_in(new, old):
        spec["storageClassName"] = was.get("storageClassName")
    if (new.get("status") or {}).get("phase") == "Bound":
        spec["resources"] = _with_storage(spec.get("resources") or {}, _storage(was))
    spec["volumeAttributesClassName"] = was.get("volumeAttributesClassName")
    found: Found = []
    if shapes.shown(shapes.CLAIM_SPEC, spec) != shapes.shown(shapes.CLAIM_SPEC, was):
        text = f"{_FROZEN}\n{shapes.difference(shapes.CLAIM_SPEC, was, spec)}"
        found.append(errors.field_forbidden("spec", text))
    found += _smaller(new["spec"], old)
    if new["spec"].get("volumeMode") != was.get("volumeMode"):
        found.append(errors.immutable("volumeMode", new["spec"].get("volumeMode")))
    return found + _attributes_class(new["spec"], was)


def _class_filled_in(new: Obj, old: Obj) -> bool:
    """A class may be set once where none was: from the annotation of old, or as the cluster's default."""
    if old["spec"].get("storageClassName") is not None:
        return False
    annotated = (old["metadata"].get("annotations") or {}).get(_BETA_CLASS)
    chosen = new["spec"].get("storageClassName")
    return chosen is not None and annotated in (None, chosen)


def _storage(spec: Obj) -> str | None:
    found: str | None = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return found


def _with_storage(resources: Obj, storage: str | None) -> Obj:
    if not resources.get("requests"):
        return resources
    return {**resources, "requests": {**resources["requests"], "storage": storage}}


def _smaller(spec: Obj, old: Obj) -> Found:
    """A claim may ask for less again while its volume has not grown to what it asked for."""
    wanted, before = amount(_storage(spec) or 0), amount(_storage(old["spec"]) or 0)
    if wanted >= before:
        return []
    has = amount(((old.get("status") or {}).get("capacity") or {}).get("storage") or 0)
    if not has or wanted <= has:
        text = "field can not be less than status.capacity"
        return [errors.field_forbidden("spec.resources.requests.storage", text)]
    return []


def _attributes_class(spec: Obj, was: Obj) -> Found:
    path = "spec.volumeAttributesClassName"
    if was.get("volumeAttributesClassName") and spec.get("volumeAttributesClassName") is None:
        return [errors.field_forbidden(path, "update from non-nil value to nil is forbidden")]
    return []


def claim_status(new: Obj, old: Obj) -> Found:
    status = new.get("status") or {}
    found: Found = []
    for condition in status.get("conditions") or ():
        if not condition.get("type"):
            found.append(errors.required("status.conditions"))
    found += amounts("status.capacity", status.get("capacity") or {})
    return found + amounts("status.allocatedResources", status.get("allocatedResources") or {})

"""Persistent volumes."""

from __future__ import annotations

from apimachinery import errors, formats
from controlplane.apiserver.validation import shapes
from controlplane.apiserver.validation.claims import VOLUME_MODES, access_modes
from controlplane.apiserver.validation.fields import Found, Obj, amounts, each, enum, no_way_up
from controlplane.apiserver.validation.scheduling import node_selector
from controlplane.apiserver.validation.volumes import volume_source

_RECLAIM = ("Delete", "Recycle", "Retain")
_KINDS = tuple(key for _, key, _ in shapes.VOLUME_SOURCE)
_SECRETS = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)
_SOURCE_FROZEN = "spec.persistentvolumesource is immutable after creation"


def volume(obj: Obj) -> Found:
    return volume_spec("spec", obj["spec"])


def volume_spec(path: str, spec: Obj) -> Found:
    modes, capacity = spec.get("accessModes") or [], spec.get("capacity") or {}
    found: Found = []
    if not modes:
        found.append(errors.required(f"{path}.accessModes"))
    found += access_modes(f"{path}.accessModes", modes)
    if not capacity:
        found.append(errors.required(f"{path}.capacity"))
    if len(capacity) != 1 or "storage" not in capacity:
        found.append(errors.not_supported(f"{path}.capacity", capacity or None, ("storage",)))
    found += amounts(f"{path}.capacity", capacity)
    if spec.get("persistentVolumeReclaimPolicy"):
        found += enum(f"{path}.persistentVolumeReclaimPolicy", spec["persistentVolumeReclaimPolicy"], _RECLAIM)
    affinity = (spec.get("nodeAffinity") or {}).get("required")
    found += _affinity(f"{path}.nodeAffinity", spec.get("nodeAffinity"))
    found += _source(path, spec, affinity is not None)
    if (spec.get("hostPath") or {}).get("path") == "/" and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        found.append(errors.field_forbidden(f"{path}.persistentVolumeReclaimPolicy", text))
    for field in ("storageClassName",):
        if spec.get(field):
            found += each(f"{path}.{field}", spec[field], formats.dns1123_subdomain(spec[field]))
    if spec.get("volumeMode") is not None:
        found += enum(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    return found + _attributes_class(path, spec)


def _attributes_class(path: str, spec: Obj) -> Found:
    chosen = spec.get("volumeAttributesClassName")
    if chosen is None:
        return []
    where = f"{path}.volumeAttributesClassName"
    found = each(where, chosen, formats.dns1123_subdomain(chosen)) if chosen else []
    if not chosen:
        found.append(errors.required(where, "an empty string is disallowed"))
    if spec.get("csi") is None:
        found.append(errors.required(f"{path}.csi", "has to be specified when using volumeAttributesClassName"))
    return found


def _affinity(path: str, affinity: Obj | None) -> Found:
    if affinity is None:
        return []
    if affinity.get("required") is None:
        return [errors.required(f"{path}.required", "must specify required node constraints")]
    return node_selector(f"{path}.required", affinity["required"])


def _source(path: str, spec: Obj, placed: bool) -> Found:
    given = [kind for kind in _KINDS if spec.get(kind) is not None]
    if not given:
        return [errors.required(path, "must specify a volume type")]
    kind, source = given[0], spec[given[0]]
    where = f"{path}.{kind}"
    if kind == "csi":
        found = _csi(where, source)
    elif kind == "local":
        found = _local(where, source)
        if not placed:
            found.append(errors.required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    else:
        found = volume_source(where, kind, source)
    more = [errors.field_forbidden(f"{path}.{k}", "may not specify more than 1 volume type") for k in given[1:]]
    return found + more


def _local(path: str, source: Obj) -> Found:
    target = source.get("path") or ""
    return no_way_up(f"{path}.path", target) if target else [errors.required(f"{path}.path")]


def _csi(path: str, source: Obj) -> Found:
    found = driver_name(f"{path}.driver", source.get("driver") or "")
    if not source.get("volumeHandle"):
        found.append(errors.required(f"{path}.volumeHandle"))
    for field in _SECRETS:
        if source.get(field) is not None:
            found += [
                errors.required(f"{path}.{field}.{key}") for key in ("name", "namespace") if not source[field].get(key)
            ]
    return found


def driver_name(path: str, name: str) -> Found:
    """The name of a CSI driver: a domain of at most 63 characters, in either case."""
    if not name:
        return [errors.required(path)]
    found = [errors.too_long(path, 63)] if len(name) > 63 else []
    lowered = name.lower()
    return found + [errors.invalid(path, name, text) for text in formats.dns1123_subdomain(lowered)]


def volume_change(new: Obj, old: Obj) -> Found:
    """Where a volume is cannot change, nor how it is handed over."""
    spec, was = new["spec"], old["spec"]
    found: Found = []
    if any(spec.get(kind) != was.get(kind) for kind in _KINDS):
        text = f"{_SOURCE_FROZEN}\n{shapes.difference(shapes.VOLUME_SOURCE, was, spec)}"
        found.append(errors.field_forbidden("spec.persistentvolumesource", text))
    if spec.get("volumeMode") != was.get("volumeMode"):
        found.append(errors.immutable("volumeMode", spec.get("volumeMode")))
    if was.get("nodeAffinity") is not None and spec.get("nodeAffinity") != was.get("nodeAffinity"):
        found.append(errors.immutable("nodeAffinity", spec.get("nodeAffinity")))
    return found

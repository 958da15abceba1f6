"""The core group's smaller kinds, EndpointSlices and Leases."""

from __future__ import annotations

import base64
import re

from apimachinery import errors, formats, jsontext
from controlplane.apiserver.rules.values import Found, Obj, config_key, each, frozen, not_negative

_LIMIT = 1 << 20
_REDACTED = "<secret contents redacted>"
_WHEN_IMMUTABLE = "field is immutable when `immutable` is set"
# What a Secret of a type must hold.
_NEEDED = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def config_map(obj: Obj) -> Found:
    found: Found = []
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key in sorted(data):
        found += each(f"data[{key}]", key, config_key(key))
        if key in binary:
            text = "duplicate of key present in binaryData"
            found.append(errors.invalid(f"data[{key}]", key, text))
        size += len((data[key] or "").encode())
    for key in sorted(binary):
        found += each(f"binaryData[{key}]", key, config_key(key))
        size += len(binary[key] or "") * 3 // 4
    if size > _LIMIT:
        found.append(errors.too_long("", _LIMIT))
    return found


def config_map_change(new: Obj, old: Obj) -> Found:
    return _frozen(new, old, ("data", "binaryData")) + config_map(new)


def _frozen(new: Obj, old: Obj, fields: tuple[str, ...]) -> Found:
    if not old.get("immutable"):
        return []
    found: Found = []
    if not new.get("immutable"):
        found.append(errors.field_forbidden("immutable", _WHEN_IMMUTABLE))
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            found.append(errors.field_forbidden(field, _WHEN_IMMUTABLE))
    return found


def secret(obj: Obj) -> Found:
    found: Found = []
    data, kind = obj.get("data") or {}, obj.get("type")
    size = 0
    for key in sorted(data):
        found += each(f"data[{key}]", key, config_key(key))
        size += len(data[key] or "") * 3 // 4
    if size > _LIMIT:
        found.append(errors.too_long("data", _LIMIT))
    if kind == "kubernetes.io/service-account-token":
        if not (obj["metadata"].get("annotations") or {}).get("kubernetes.io/service-account.name"):
            found.append(errors.required("metadata.annotations[kubernetes.io/service-account.name]"))
    elif kind == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            found += [errors.required("data[username]"), errors.required("data[password]")]
    elif kind == "kubernetes.io/tls":
        found += [errors.required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]
    for key in _NEEDED.get(str(kind), ()):
        if key not in data:
            found.append(errors.required(f"data[{key}]"))
        elif key.startswith(".docker"):
            found += _json(f"data[{key}]", data[key])
    return found


def _json(path: str, text: str) -> Found:
    try:
        jsontext.loads(base64.b64decode(text))
    except jsontext.JsonError as error:
        return [errors.invalid(path, _REDACTED, str(error))]
    return []


def secret_change(new: Obj, old: Obj) -> Found:
    found: Found = []
    if new.get("type") != old.get("type"):
        found.append(errors.immutable("type", new.get("type")))
    return found + _frozen(new, old, ("data",)) + secret(new)


def namespace_change(new: Obj, old: Obj) -> Found:
    return finalizers(new)


_LEVELS = ("privileged", "baseline", "restricted")
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)\Z")


def namespace(obj: Obj) -> Found:
    found: Found = []
    for name in obj["spec"].get("finalizers") or ():
        found += _finalizer("spec.finalizers", name)
    return found + pod_security(obj)


def pod_security(obj: Obj) -> Found:
    """The labels that say what pods of a namespace may do."""
    labels = obj["metadata"].get("labels") or {}
    found: Found = []
    for mode in _MODES:
        key = f"pod-security.kubernetes.io/{mode}"
        if key in labels and labels[key] not in _LEVELS:
            text = f"must be one of {', '.join(_LEVELS)}"
            found.append(errors.invalid(f"metadata.labels[{key}]", labels[key], text))
    for mode in _MODES:
        key = f"pod-security.kubernetes.io/{mode}-version"
        if key in labels and labels[key] != "latest" and not _VERSION.match(labels[key]):
            text = 'must be "latest" or "v1.x"'
            found.append(errors.invalid(f"metadata.labels[{key}]", labels[key], text))
    return found


def finalizers(obj: Obj) -> Found:
    """spec.finalizers of a namespace."""
    found: Found = []
    for index, name in enumerate(obj["spec"].get("finalizers") or ()):
        found += _finalizer(f"spec.finalizers[{index}]", name)
    return found


def _finalizer(path: str, name: str) -> Found:
    found = each(path, name, formats.qualified_name(name))
    if "/" not in name and name != "kubernetes":
        text = "name is neither a standard finalizer name nor is it fully qualified"
        found.append(errors.invalid(path, name, text))
    return found


def namespace_status(new: Obj, old: Obj) -> Found:
    phase = (new.get("status") or {}).get("phase")
    if "deletionTimestamp" not in new["metadata"]:
        if phase != "Active":
            text = "may only be 'Active' if `deletionTimestamp` is empty"
            return [errors.invalid("status.Phase", phase, text)]
    elif phase != "Terminating":
        text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        return [errors.invalid("status.Phase", phase, text)]
    return []


def lease(obj: Obj) -> Found:
    spec = obj.get("spec") or {}
    found: Found = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        found.append(errors.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    return found + not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


_EVENT_TEXTS = (("reportingInstance", 128), ("action", 128), ("reason", 128))
_LONGEST_NOTE = 1024
_UNSET = ("firstTimestamp", "lastTimestamp", "count")


def event(obj: Obj) -> Found:
    return _event(obj, "reportingComponent")


def _event(obj: Obj, reporter_field: str) -> Found:
    """Both kinds of events, under the core group's names. A time makes it one of the newer kind."""
    involved = (obj.get("involvedObject") or {}).get("namespace") or ""
    space = obj["metadata"].get("namespace") or ""
    found: Found = []
    if not obj.get("eventTime"):
        if involved != space if involved else space not in ("", "default"):
            found.append(errors.invalid("involvedObject.namespace", involved, "does not match event.namespace"))
        return found
    if not involved and space not in ("default", "kube-system"):
        found.append(errors.invalid("involvedObject.namespace", involved, "does not match event.namespace"))
    reporter = obj.get("reportingComponent") or ""
    if not reporter:
        found.append(errors.required(reporter_field))
    found += each(reporter_field, reporter, formats.qualified_name(reporter))
    for field, most in _EVENT_TEXTS:
        text = obj.get(field) or ""
        if not text:
            found.append(errors.required(field))
        elif len(text) > most:
            found.append(errors.invalid(field, "", f"can have at most {most} characters"))
    if len(obj.get("message") or "") > _LONGEST_NOTE:
        found.append(errors.invalid("message", "", f"can have at most {_LONGEST_NOTE} characters"))
    return found


def event_as(obj: Obj, version: str) -> Found:
    """Events as events.k8s.io asks for them."""
    found = _event(obj, "reportingController")
    if not obj.get("eventTime"):
        found.append(errors.required("eventTime"))
    kind = obj.get("type") or ""
    if kind not in ("Normal", "Warning"):
        found.append(errors.invalid("type", "", f"has invalid value: {kind}"))
    found += [errors.invalid(field, "", "needs to be unset") for field in _UNSET if obj.get(field)]
    source = obj.get("source") or {}
    if source.get("component") or source.get("host"):
        found.append(errors.invalid("source", "", "needs to be unset"))
    return found


# What events.k8s.io lets nobody change: all but how often it happened again.
_EVENT_FIXED = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)


def event_change_as(new: Obj, old: Obj, version: str) -> Found:
    """A change of an event by way of events.k8s.io."""
    return event(new) + frozen(new, old, *_EVENT_FIXED)


def controller_revision(obj: Obj) -> Found:
    found: Found = not_negative("revision", obj.get("revision"))
    if obj.get("data") is None:
        found.append(errors.required("data", "data is mandatory"))
    return found


def controller_revision_change(new: Obj, old: Obj) -> Found:
    found = controller_revision(new)
    if new.get("data") != old.get("data"):
        found.append(errors.immutable("data", new.get("data")))
    return found

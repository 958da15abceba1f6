"""Objects stored under one version, shown and taken under another. Pure."""

from __future__ import annotations

from apimachinery.kinds import Kind
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.request import Obj

# events.k8s.io/v1 -> core/v1: the same objects under other names.
_EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_CORE_FIELDS = {old: new for new, old in _EVENT_FIELDS.items()}


def shown(kind: Kind, entry: Entry) -> Obj:
    """An entry's object as a version of its kind. Shared: not to be changed."""
    obj = entry.obj
    if obj["apiVersion"] == kind.api_version:
        return obj
    names = _CORE_FIELDS if kind.kind == "Event" else {}
    converted = {names.get(field, field): value for field, value in obj.items()}
    if kind.kind == "Event":
        converted = {k: v for k, v in converted.items() if v is not None or k == "eventTime"}
    return {**converted, "kind": kind.kind, "apiVersion": kind.api_version}


def stored(kind: Kind, obj: Obj, storage: Kind) -> Obj:
    """A client's object as the version it is stored under; may change obj."""
    if kind.api_version == storage.api_version:
        return obj
    if kind.kind == "Event":
        obj = {_EVENT_FIELDS.get(field, field): value for field, value in obj.items()}
    obj["kind"], obj["apiVersion"] = storage.kind, storage.api_version
    return obj

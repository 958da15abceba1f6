"""Events of the core group and of events.k8s.io: the same objects under other names."""

from __future__ import annotations

from apimachinery.objects import Obj
from controlplane.apiserver.conversion.conversion import Conversion

_CORE_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_NAMES = {old: new for new, old in _CORE_NAMES.items()}
# Always written in the core group, left out when empty in the other.
_REPORTER = ("reportingComponent", "reportingInstance")


def to_core(event: Obj) -> Obj:
    found = {_CORE_NAMES.get(name, name): value for name, value in event.items()}
    return {**dict.fromkeys(_REPORTER, ""), **found, "apiVersion": "v1"}


def from_core(event: Obj) -> Obj:
    kept = {name: value for name, value in event.items() if name not in _REPORTER or value}
    return {**{_NAMES.get(name, name): value for name, value in kept.items()}, "apiVersion": "events.k8s.io/v1"}


EVENTS_V1 = Conversion(shown=from_core, stored=to_core)

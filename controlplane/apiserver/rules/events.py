"""Events, which two groups show: under the core group's names, by the rules of the group that is asked."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import each
from controlplane.apiserver.rules.words import changed, created, hook

_LIMITS = (("reportingInstance", 128), ("action", 128), ("reason", 128))
_LONGEST_NOTE = 1024
# What the newer group lets nobody change, as its complaints name them.
_FIXED = ("involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type")
_FIXED_TOO = ("eventTime", "action", "related", "reportingComponent", "reportingInstance")
_STRUCTS = {
    "involvedObject": "core.v1.ObjectReference",
    "source": "core.v1.EventSource",
    "related": "core.v1.ObjectReference",
}


def _strict(at: Place) -> bool:
    return at.about.version not in ("", "v1", "events.k8s.io/v1beta1")


def _event(event: Obj, at: Place) -> Iterator[FieldError]:
    """A time makes it one of the newer kind."""
    involved = (event.get("involvedObject") or {}).get("namespace") or ""
    space = event["metadata"].get("namespace") or ""
    apart = involved != space if involved else space not in ("", "default")
    if event.get("eventTime"):
        apart = not involved and space not in ("default", "kube-system")
    if apart:
        yield errors.invalid("involvedObject.namespace", involved, "does not match event.namespace")
    if event.get("eventTime"):
        yield from _reported(event, at)


def _reported(event: Obj, at: Place) -> Iterator[FieldError]:
    field = "reportingController" if _strict(at) else "reportingComponent"
    reporter = event.get("reportingComponent") or ""
    if not reporter:
        yield errors.required(field)
    yield from each(field, reporter, formats.qualified_name(reporter))
    for field, most in _LIMITS:
        text = event.get(field) or ""
        if not text:
            yield errors.required(field)
        elif len(text.encode()) > most:
            yield errors.invalid(field, "", f"can have at most {most} characters")
    if len((event.get("message") or "").encode()) > _LONGEST_NOTE:
        yield errors.invalid("message", "", f"can have at most {_LONGEST_NOTE} characters")


def _series(event: Obj) -> Iterator[FieldError]:
    series = event.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        yield errors.invalid("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield errors.required("series.lastObservedTime")


def _new(event: Obj, at: Place) -> Iterator[FieldError]:
    """As events.k8s.io asks for them."""
    if not _strict(at):
        return
    yield from _series(event)
    if not event.get("eventTime"):
        yield errors.required("eventTime")
    if (kind := event.get("type") or "") not in ("Normal", "Warning"):
        yield errors.invalid("type", "", f"has invalid value: {kind}")
    for field in ("firstTimestamp", "lastTimestamp", "count"):
        if event.get(field):
            yield errors.invalid(field, "", "needs to be unset")
    if any((event.get("source") or {}).values()):
        yield errors.invalid("source", "", "needs to be unset")


def _change(event: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    """By way of events.k8s.io nothing changes but how often it happened again."""
    if not _strict(at):
        return
    if event.get("series") != before.get("series"):
        yield from _series(event)
    for field in (*_FIXED, *_FIXED_TOO):
        now = event.get(field)
        if now != before.get(field):
            shown = struct(_STRUCTS[field], now) if field in _STRUCTS else now
            if now is None and field not in ("related", "eventTime", "firstTimestamp", "lastTimestamp"):
                shown = 0 if field == "count" else ""
            yield errors.immutable("reportingController" if field == "reportingComponent" else field, shown)


RULES: dict[str, Row] = {"core.v1.Event": (hook(_event), created(_new), changed(_change))}

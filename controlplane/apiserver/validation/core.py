"""The core group's smaller kinds, EndpointSlices and Leases."""

from __future__ import annotations

from apimachinery import errors
from controlplane.apiserver.rules.values import Found, Obj, not_negative


def lease(obj: Obj) -> Found:
    spec = obj.get("spec") or {}
    found: Found = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        found.append(errors.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    return found + not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


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

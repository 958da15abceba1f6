"""The counts in a workload's status: none below nought, no part greater than the whole."""

from __future__ import annotations

from apimachinery import errors
from controlplane.apiserver.rules.values import Found, Obj, not_negative

_DAEMONS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
)
_ALL = "status.replicas"


def deployment(new: Obj, old: Obj) -> Found:
    status, was = new.get("status") or {}, old.get("status") or {}
    counts = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    found = _counted(status, *counts, "unavailableReplicas", "terminatingReplicas", "collisionCount")
    for part in ("updatedReplicas", "readyReplicas", "availableReplicas"):
        found += _within(status, part, "replicas", _ALL)
    found += _within(status, "availableReplicas", "readyReplicas", "readyReplicas")
    return found + _never_less(status, was)


def replica_set(new: Obj, old: Obj) -> Found:
    """Also of a ReplicationController."""
    status = new.get("status") or {}
    parts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    found = _counted(status, "replicas", *parts, "observedGeneration", "terminatingReplicas")
    for part in parts:
        found += _within(status, part, "replicas", _ALL)
    return found + _within(status, "availableReplicas", "readyReplicas", "readyReplicas")


def stateful_set(new: Obj, old: Obj) -> Found:
    status, was = new.get("status") or {}, old.get("status") or {}
    parts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    found = _counted(status, "replicas", *parts, "observedGeneration", "collisionCount")
    for part in parts:
        found += _within(status, part, "replicas", _ALL)
    found += _within(status, "availableReplicas", "readyReplicas", "status.readyReplicas")
    return found + _never_less(status, was)


def daemon_set(new: Obj, old: Obj) -> Found:
    status, was = new.get("status") or {}, old.get("status") or {}
    return _counted(status, *_DAEMONS, "collisionCount") + _never_less(status, was)


def job(new: Obj, old: Obj) -> Found:
    return _counted(new.get("status") or {}, "active", "succeeded", "failed", "ready", "terminating")


def pod(new: Obj, old: Obj) -> Found:
    """The quality of service is settled with the spec."""
    given, was = (new.get("status") or {}).get("qosClass"), (old.get("status") or {}).get("qosClass")
    return [errors.immutable("status.qosClass", given)] if was and given != was else []


def _counted(status: Obj, *names: str) -> Found:
    return [problem for name in names for problem in not_negative(f"status.{name}", status.get(name))]


def _within(status: Obj, part: str, whole: str, told: str) -> Found:
    count = status.get(part) or 0
    if count <= (status.get(whole) or 0):
        return []
    return [errors.invalid(f"status.{part}", count, f"cannot be greater than {told}")]


def _never_less(status: Obj, was: Obj) -> Found:
    """The count of colliding names only grows."""
    before, count = was.get("collisionCount"), status.get("collisionCount")
    if before is None or count is None or count >= before:
        return []
    return [errors.invalid("status.collisionCount", count, "cannot be decremented")]

"""The status of a Deployment and its conditions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from apimachinery.conditions import dated
from apimachinery.objects import Obj, condition, name
from apimachinery.timestamps import format_time, parse_time
from controlplane.controllers.deployment.sizes import available, limits, present, replicas

NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"
# Upstream's way to say that there is no deadline.
NO_DEADLINE = 2**31 - 1


def deadline(deployment: Obj) -> int | None:
    """Seconds a rollout may stand still, or None."""
    value = deployment["spec"].get("progressDeadlineSeconds")
    return None if value is None or value == NO_DEADLINE else int(value)


def with_condition(
    conditions: Sequence[Obj], kind: str, status: str, reason: str, message: str, now: datetime
) -> list[Obj]:
    """The conditions with one set; one of the same status and reason stays as it is, message and times too."""
    old = next((c for c in conditions if c.get("type") == kind), None)
    if old is not None and (old.get("status"), old.get("reason")) == (status, reason):
        return list(conditions)
    stamp = format_time(now)
    fresh = {"type": kind, "status": status, "lastUpdateTime": stamp, "reason": reason, "message": message}
    return [*(c for c in conditions if c.get("type") != kind), dated(conditions, fresh, stamp)]


def counted(deployment: Obj, new: Obj | None, sets: Sequence[Obj], conditions: Sequence[Obj], now: datetime) -> Obj:
    """Numbers and the Available condition. `sets`: all, as the cache shows them (their status counts)."""
    statuses = [s.get("status") or {} for s in sets]
    total, ready = sum(map(present, sets)), sum(int(s.get("readyReplicas") or 0) for s in statuses)
    usable = sum(map(available, sets))
    numbers = {
        "replicas": total,
        "updatedReplicas": present(new) if new is not None else 0,
        "readyReplicas": ready,
        "availableReplicas": usable,
        "unavailableReplicas": max(total - usable, 0),
    }
    status: Obj = {"observedGeneration": deployment["metadata"].get("generation") or 0}
    status.update({key: value for key, value in numbers.items() if value})
    if all("terminatingReplicas" in s for s in statuses):
        status["terminatingReplicas"] = sum(int(s["terminatingReplicas"]) for s in statuses)
    collisions = (deployment.get("status") or {}).get("collisionCount")
    if collisions is not None:
        status["collisionCount"] = collisions
    _, unavailable = limits(deployment)
    if usable >= replicas(deployment) - unavailable:
        verdict = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        verdict = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status["conditions"] = with_condition(conditions, "Available", *verdict, now)
    return status


def progressed(deployment: Obj, new: Obj | None, sets: Sequence[Obj], status: Obj, now: datetime) -> Obj:
    """The status with its Progressing and ReplicaFailure conditions."""
    conditions: list[Obj] = list(status["conditions"])
    current = next((c for c in conditions if c.get("type") == "Progressing"), None)
    if deadline(deployment) is None:
        conditions = [c for c in conditions if c.get("type") != "Progressing"]
    elif not _was_complete(status, current):
        what = f'ReplicaSet "{name(new)}"' if new is not None else f'Deployment "{name(deployment)}"'
        if is_complete(deployment, status):
            text = f"{what} has successfully progressed."
            conditions = with_condition(conditions, "Progressing", "True", NEW_AVAILABLE, text, now)
        elif _moved(deployment, status):
            # Set anew each time, for lastUpdateTime is what the deadline counts from.
            rest = [c for c in conditions if c.get("type") != "Progressing"]
            text = f"{what} is progressing."
            fresh = with_condition(rest, "Progressing", "True", "ReplicaSetUpdated", text, now)
            if current is not None and current.get("status") == "True":
                fresh[-1]["lastTransitionTime"] = current.get("lastTransitionTime")
            conditions = fresh
        elif overdue_in(deployment, current, now) == 0:
            text = f"{what} has timed out progressing."
            conditions = with_condition(conditions, "Progressing", "False", TIMED_OUT, text, now)
    failure = next((c for s in ([new] if new else []) + list(sets) if (c := condition(s, "ReplicaFailure"))), None)
    if failure is None:
        conditions = [c for c in conditions if c.get("type") != "ReplicaFailure"]
    else:
        reason, text = failure.get("reason") or "", failure.get("message") or ""
        conditions = with_condition(conditions, "ReplicaFailure", failure.get("status") or "True", reason, text, now)
    return {**status, "conditions": conditions}


def is_complete(deployment: Obj, status: Obj) -> bool:
    """Every pod is of the new template and available, and none of the old is left."""
    wanted = replicas(deployment)
    counts = [int(status.get(key) or 0) for key in ("updatedReplicas", "replicas", "availableReplicas")]
    seen = int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0)
    return counts == [wanted] * 3 and seen


def overdue_in(deployment: Obj, current: Obj | None, now: datetime) -> float | None:
    """Seconds until the rollout has stood still for too long: 0 when it has, None when it cannot."""
    limit = deadline(deployment)
    if current is None or limit is None or current.get("reason") == NEW_AVAILABLE:
        return None
    if current.get("reason") == TIMED_OUT:
        return 0.0
    if deployment["spec"].get("paused"):
        return None
    since = parse_time(current.get("lastUpdateTime") or current["lastTransitionTime"])
    return max((since + timedelta(seconds=limit) - now).total_seconds(), 0.0)


def paused_conditions(deployment: Obj, now: datetime) -> list[Obj] | None:
    """The conditions after a pause or its end, or None where nothing changes."""
    conditions = (deployment.get("status") or {}).get("conditions") or []
    current = condition(deployment, "Progressing")
    if deadline(deployment) is None or (current is not None and current.get("reason") == TIMED_OUT):
        return None
    was = current is not None and current.get("reason") == PAUSED
    if deployment["spec"].get("paused") and not was:
        return with_condition(conditions, "Progressing", "Unknown", PAUSED, "Deployment is paused", now)
    if not deployment["spec"].get("paused") and was:
        return with_condition(conditions, "Progressing", "Unknown", RESUMED, "Deployment is resumed", now)
    return None


def _was_complete(status: Obj, current: Obj | None) -> bool:
    done = (status.get("replicas") or 0) == (status.get("updatedReplicas") or 0)
    return done and current is not None and current.get("reason") == NEW_AVAILABLE


def _moved(deployment: Obj, status: Obj) -> bool:
    old = deployment.get("status") or {}

    def number(source: Obj, key: str) -> int:
        return int(source.get(key) or 0)

    def outdated(source: Obj) -> int:
        return number(source, "replicas") - number(source, "updatedReplicas")

    return any(
        number(status, k) > number(old, k) for k in ("updatedReplicas", "readyReplicas", "availableReplicas")
    ) or outdated(status) < outdated(old)

"""What a pod's status says, as the loops ask it."""

from __future__ import annotations

from datetime import datetime, timedelta

from apimachinery.objects import Obj, condition, condition_holds, is_deleting
from apimachinery.timestamps import parse_time

FINAL = ("Succeeded", "Failed")


def phase(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def is_ready(pod: Obj) -> bool:
    """Whether the Ready condition is True."""
    return condition_holds(pod, "Ready")


def conditions(pod: Obj) -> list[Obj] | None:
    """As the pod holds them: all that says since when it is ready."""
    found: list[Obj] | None = (pod.get("status") or {}).get("conditions")
    return found


def ready_since(pod: Obj) -> datetime | None:
    """When the pod became ready; None while it is not."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    stamp = ready.get("lastTransitionTime")
    return parse_time(stamp) if stamp else None


def is_active(pod: Obj) -> bool:
    """Neither finished nor on its way out."""
    return phase(pod) not in FINAL and not is_deleting(pod)


def available_in(pod: Obj, min_ready: int, now: datetime) -> float | None:
    """Seconds until a pod has been ready for `min_ready` seconds: 0 when it has, None when not ready."""
    if not is_ready(pod):
        return None
    if min_ready <= 0:
        return 0.0
    since = ready_since(pod)
    if since is None:
        return float(min_ready)
    return max((since + timedelta(seconds=min_ready) - now).total_seconds(), 0.0)


def restarts(pod: Obj) -> int:
    """The largest restart count of its containers."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((int(s.get("restartCount") or 0) for s in statuses), default=0)

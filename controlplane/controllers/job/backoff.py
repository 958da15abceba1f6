"""How long to wait before failed pods are replaced: 10 s, doubled by each failure since the last success, at most 10
minutes. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apimachinery.objects import Obj, condition
from apimachinery.timestamps import parse_time

FIRST = 10.0
LONGEST = 600.0


@dataclass(frozen=True)
class Record:
    """Failures since the last success, and when the latest of them was."""

    failures: int = 0
    last: datetime | None = None


def noted(record: Record, succeeded: Sequence[Obj], failed: Sequence[Obj]) -> Record:
    """The record with pods that were seen to end just now."""
    ends = sorted(finished_at(pod) for pod in failed)
    if succeeded:
        latest = max(finished_at(pod) for pod in succeeded)
        ends = [end for end in ends if end > latest]
        return Record(len(ends), ends[-1] if ends else None)
    return Record(record.failures + len(ends), ends[-1]) if ends else record


def remaining(record: Record, now: datetime) -> float:
    """Seconds until the next pod may come."""
    if not record.failures or record.last is None:
        return 0.0
    pause = min(FIRST * 2 ** min(record.failures - 1, 10), LONGEST)
    return max((record.last + timedelta(seconds=pause) - now).total_seconds(), 0.0)


def finished_at(pod: Obj) -> datetime:
    """When a pod ended: by its containers, else its Ready condition, its deletion or its creation."""
    status = pod.get("status") or {}
    spec = pod.get("spec") or {}
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    containers = list(status.get("containerStatuses") or ())
    containers += [s for s in status.get("initContainerStatuses") or () if s["name"] in sidecars]
    ends = [((c.get("state") or {}).get("terminated") or {}).get("finishedAt") or "" for c in containers]
    if ends and all(ends):
        return max(parse_time(end) for end in ends)
    ready = condition(pod, "Ready")
    if ready is not None and ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return parse_time(ready["lastTransitionTime"])
    meta = pod["metadata"]
    if meta.get("deletionTimestamp"):
        grace = int(meta.get("deletionGracePeriodSeconds") or 0)
        return parse_time(meta["deletionTimestamp"]) - timedelta(seconds=grace)
    return parse_time(meta["creationTimestamp"])

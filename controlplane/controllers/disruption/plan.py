"""What a PodDisruptionBudget's status says, and when a pod's mark of a disruption is out of date. Pure.

Sources: policy/v1 PodDisruptionBudget, KEP-85 (budgets), KEP-3017 (unready pods; the eviction itself judges them by
`currentHealthy` and `desiredHealthy`), KEP-3329 (the condition DisruptionTarget).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apimachinery.conditions import dated, placed
from apimachinery.objects import Obj, condition, controller_of, is_deleting, name
from apimachinery.timestamps import format_time, parse_time
from controlplane.controllers import pod_status
from controlplane.controllers.shares import resolved

# How long an evicted pod counts as going before its deletion was seen.
DELETION_TIMEOUT = timedelta(minutes=2)
# How long a pod stays marked that was to be disrupted and was not deleted.
STALE_AFTER = timedelta(minutes=2)
ALLOWED = "DisruptionAllowed"


@dataclass(frozen=True)
class Plan:
    """`status` is the whole new status; `recheck` is in seconds, None where nothing changes by time alone;
    `overdue` were evicted, and are still there.
    """

    status: Obj
    recheck: float | None
    overdue: tuple[Obj, ...]


def needs_scale(budget: Obj) -> bool:
    """Whether the budget is relative to what the pods' controllers want; else the pods that are there count."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def unmanaged(pods: Sequence[Obj]) -> tuple[str, ...]:
    """Pods that no controller would replace: they do not count for a relative budget."""
    return tuple(name(pod) for pod in pods if controller_of(pod) is None)


def plan(budget: Obj, pods: Sequence[Obj], scale: int, now: datetime) -> Plan:
    """`pods` are those the budget selects; `scale` is how many their controllers want (0 unless needed)."""
    expected, desired = _wanted(budget["spec"], len(pods), scale)
    disrupted, recheck, overdue = _disrupted(budget, pods, now)
    healthy = sum(1 for p in pods if not is_deleting(p) and name(p) not in disrupted and pod_status.is_ready(p))
    # Without pods nothing is allowed: the first ones may come before this loop sees them.
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    old = budget.get("status") or {}
    generation = int(budget["metadata"].get("generation") or 0)
    reason = "SufficientPods" if allowed > 0 else "InsufficientPods"
    status: Obj = {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "conditions": _with_condition(old, allowed > 0, reason, "", generation, now),
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    return Plan(status, recheck, overdue)


def fail_safe(budget: Obj, problem: str, now: datetime) -> Obj:
    """The status of a budget that could not be counted: no eviction until it can."""
    old = budget.get("status") or {}
    generation = int(old.get("observedGeneration") or 0)
    conditions = _with_condition(old, False, "SyncFailed", problem, generation, now)
    return {**old, "disruptionsAllowed": 0, "conditions": conditions}


def stale_in(pod: Obj, now: datetime) -> float | None:
    """Seconds until a pod that was to be disrupted counts as spared; None where it is not marked, or rightly so."""
    mark = condition(pod, "DisruptionTarget")
    if mark is None or mark.get("status") != "True" or is_deleting(pod):
        return None
    # The agent marks a pod long before it ends it, and a pod that ended keeps the reason of its end.
    if mark.get("reason") == "TerminationByKubelet" or pod_status.phase(pod) in pod_status.FINAL:
        return None
    return max((_moment(mark) + STALE_AFTER - now).total_seconds(), 0.0)


def spared(pod: Obj, now: datetime) -> Obj:
    """The status of a pod whose mark is taken back."""
    status = pod["status"]
    cleared = {"type": "DisruptionTarget", "status": "False", "lastProbeTime": None}
    cleared["lastTransitionTime"] = format_time(now)
    others = [c for c in status["conditions"] if c.get("type") != "DisruptionTarget"]
    return {**status, "conditions": [*others, cleared]}


def _wanted(spec: Obj, pods: int, scale: int) -> tuple[int, int]:
    """Expected and desired healthy pods."""
    most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
    if most is not None:
        return scale, max(scale - resolved(most, scale, up=True), 0)
    if isinstance(least, str):
        return scale, resolved(least, scale, up=True)
    return (pods, least) if least is not None else (0, 0)


def _disrupted(budget: Obj, pods: Sequence[Obj], now: datetime) -> tuple[dict[str, str], float | None, tuple[Obj, ...]]:
    """Evicted pods whose deletion is still to be seen, when the first of them is overdue, and those that are."""
    stamps = (budget.get("status") or {}).get("disruptedPods") or {}
    kept: dict[str, str] = {}
    waits: list[float] = []
    overdue: list[Obj] = []
    for pod in pods:
        stamp = stamps.get(name(pod))
        if stamp is None or is_deleting(pod):
            continue
        left = (parse_time(stamp) + DELETION_TIMEOUT - now).total_seconds()
        if left <= 0:
            overdue.append(pod)
        else:
            kept[name(pod)] = stamp
            waits.append(left)
    return kept, min(waits, default=None), tuple(overdue)


def _with_condition(old: Obj, holds: bool, reason: str, message: str, generation: int, now: datetime) -> list[Obj]:
    conditions = old.get("conditions") or ()
    new = {"type": ALLOWED, "status": "True" if holds else "False", "observedGeneration": generation}
    new |= {"reason": reason, "message": message}
    return placed(conditions, dated(conditions, new, format_time(now)))


def _moment(mark: Obj) -> datetime:
    return parse_time(mark.get("lastTransitionTime") or "1970-01-01T00:00:00Z")

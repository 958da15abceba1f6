"""How many pods to create, which to delete, and what the status says. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from apimachinery import objects
from apimachinery.objects import Obj, is_deleting, labels, name, uid
from apimachinery.sharing import asked_once
from apimachinery.timestamps import format_time, parse_time
from controlplane.controllers import names, pod_status

# Pods created or deleted in one go at most (upstream's BurstReplicas).
BURST = 500
PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True)
class PodView:
    """A pod as a candidate for deletion. `rank`: how many pods of the same workload share its node."""

    name: str
    uid: str
    node: str
    phase: int
    ready: bool
    ready_at: datetime | None
    created: datetime | None
    cost: int
    restarts: int
    rank: int = 0


@dataclass(frozen=True)
class Failure:
    """A create or delete that the API refused: reason FailedCreate or FailedDelete."""

    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    create: int = 0
    delete: tuple[PodView, ...] = field(default=())


def view(pod: Obj, rank: int = 0) -> PodView:
    meta = pod["metadata"]
    stamp = meta.get("creationTimestamp")
    try:
        cost = int(objects.annotations(pod).get(names.POD_DELETION_COST, "0"))
    except ValueError:
        cost = 0
    return PodView(
        name=name(pod),
        uid=uid(pod),
        node=(pod.get("spec") or {}).get("nodeName") or "",
        phase=PHASES.get(pod_status.phase(pod) or "Pending", 2),
        ready=pod_status.is_ready(pod),
        ready_at=pod_status.ready_since(pod),
        created=parse_time(stamp) if stamp else None,
        cost=cost,
        restarts=pod_status.restarts(pod),
        rank=rank,
    )


def plan(missing: int, views: Sequence[PodView], now: datetime) -> Plan:
    """`missing`: how many pods more there should be. `views`, where it is negative: those that neither finished nor are
    being deleted.
    """
    if missing >= 0:
        return Plan(create=min(missing, BURST))
    return Plan(delete=tuple(sorted(views, key=lambda pod: order(pod, now))[: min(-missing, BURST)]))


def order(pod: PodView, now: datetime) -> tuple[object, ...]:
    """Sorts pods so that the first is the best to delete (upstream's ActivePodsWithRanks)."""
    return (
        bool(pod.node),
        pod.phase,
        pod.ready,
        pod.cost,
        -pod.rank,
        _age(pod.ready_at, now) if pod.ready else -1,
        -pod.restarts,
        _age(pod.created, now),
        pod.uid,
    )


def _age(moment: datetime | None, now: datetime) -> int:
    if moment is None:
        return -1
    seconds = (now - moment).total_seconds()
    return int(math.log2(seconds)) if seconds >= 1 else 0


def ranked(active: Sequence[Obj], related: Iterable[Obj]) -> list[PodView]:
    """Views of the active pods, ranked by how many active pods of related sets share their nodes."""
    crowd = Counter((pod.get("spec") or {}).get("nodeName") or "" for pod in related if pod_status.is_active(pod))
    return [view(pod, crowd[(pod.get("spec") or {}).get("nodeName") or ""]) for pod in active]


def batches(count: int) -> Iterable[int]:
    """1, 2, 4 … so that a mistake in the template costs one refused request, not hundreds."""
    size = 1
    while count > 0:
        yield min(size, count)
        count -= size
        size *= 2


def status(replica_set: Obj, pods: Sequence[Obj], failure: Failure | None, now: datetime) -> tuple[Obj, float | None]:
    """The status and the seconds until it changes by time alone. `pods`: all that are owned."""
    spec = replica_set.get("spec") or {}
    min_ready = int(spec.get("minReadySeconds") or 0)
    template = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    active = [pod for pod in pods if pod_status.is_active(pod)]
    # Of many pods most are labelled alike, and many became ready in the same second.
    available_in = asked_once(pod_status.conditions, lambda pod: pod_status.available_in(pod, min_ready, now))
    is_labelled = asked_once(labels, lambda pod: template.items() <= labels(pod).items())
    waits = [wait for wait in map(available_in, active) if wait is not None]
    counts = {
        "fullyLabeledReplicas": sum(map(is_labelled, active)),
        "readyReplicas": len(waits),
        "availableReplicas": sum(wait == 0 for wait in waits),
    }
    result: Obj = {"replicas": len(active)}
    result.update({key: count for key, count in counts.items() if count})
    result["terminatingReplicas"] = sum(
        is_deleting(pod) and pod_status.phase(pod) not in pod_status.FINAL for pod in pods
    )
    result["observedGeneration"] = replica_set["metadata"].get("generation") or 0
    conditions = _conditions((replica_set.get("status") or {}).get("conditions") or (), failure, now)
    if conditions:
        result["conditions"] = conditions
    later = [wait for wait in waits if wait > 0]
    return result, min(later) if later else None


def _conditions(old: Sequence[Obj], failure: Failure | None, now: datetime) -> list[Obj]:
    others = [c for c in old if c.get("type") != "ReplicaFailure"]
    if failure is None:
        return others
    present = next((c for c in old if c.get("type") == "ReplicaFailure"), None)
    if present is not None and present.get("reason") == failure.reason:
        return [*others, present]
    return [
        *others,
        {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": format_time(now),
            "reason": failure.reason,
            "message": failure.message,
        },
    ]

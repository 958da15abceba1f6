"""A pod's phase from its container statuses. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase .
"""

from __future__ import annotations

from dataclasses import dataclass

from agent import podspec, restarts
from apimachinery.objects import Obj

PENDING, RUNNING, SUCCEEDED, FAILED, UNKNOWN = "Pending", "Running", "Succeeded", "Failed", "Unknown"
TERMINAL = (SUCCEEDED, FAILED)


@dataclass
class _Counts:
    """Containers by what they are doing."""

    unknown: int = 0
    running: int = 0
    waiting: int = 0
    stopped: int = 0
    restarting: int = 0
    """Of the stopped ones: those that will run again."""
    succeeded: int = 0
    pending_init: int = 0
    """Init containers that are still to come or at work."""
    pending_sidecars: int = 0
    failed_init: int = 0
    """Init containers that failed for good."""


def _ended(status: Obj) -> tuple[Obj | None, bool]:
    """(the end the container is at, whether it waits to run again)."""
    state = status.get("state") or {}
    if "terminated" in state:
        return state["terminated"], False
    if "running" in state:
        return None, False
    return (status.get("lastState") or {}).get("terminated"), True


def _runs_again(pod: Obj, container: Obj, end: Obj) -> bool:
    return end.get("reason") == restarts.REASON or restarts.policy(pod, container).restarts(int(end["exitCode"]))


def _count_init(pod: Obj, container: Obj, status: Obj | None, counts: _Counts, initialized: bool) -> None:
    if status is None:
        # Its record may have been removed since it was through.
        counts.pending_init += not initialized
        return
    end, _ = _ended(status)
    if end is None:
        counts.pending_init += 1
    elif end["exitCode"] != 0:
        counts.failed_init += not _runs_again(pod, container, end)


def _count_sidecar(status: Obj | None, counts: _Counts) -> None:
    if status is None:
        counts.unknown += 1
        counts.pending_sidecars += 1
    elif "running" in (status.get("state") or {}):
        counts.running += 1
        counts.pending_sidecars += not status.get("started")
    elif _ended(status)[0] is None:
        counts.waiting += 1
        counts.pending_sidecars += 1


def _count(pod: Obj, container: Obj, status: Obj | None, counts: _Counts) -> None:
    if status is None:
        counts.unknown += 1
        return
    end, waits = _ended(status)
    if end is None:
        counts.running += not waits and "running" in (status.get("state") or {})
        counts.waiting += "running" not in (status.get("state") or {})
        return
    counts.stopped += 1
    counts.restarting += _runs_again(pod, container, end)
    counts.succeeded += end["exitCode"] == 0 and not waits


def _counts(pod: Obj, by_name: dict[str, Obj]) -> _Counts:
    counts = _Counts()
    initialized = any(
        "running" in (by_name.get(c["name"], {}).get("state") or {})
        or _ended(by_name.get(c["name"], {}))[0] is not None
        for c in podspec.containers(pod)
    )
    for container in podspec.init_containers(pod):
        status = by_name.get(container["name"])
        if podspec.is_sidecar(container):
            _count_sidecar(status, counts)
        else:
            _count_init(pod, container, status, counts, initialized)
    if initialized:
        # Sidecars that restart do not take a pod back to its beginning.
        counts.pending_sidecars = 0
    for container in podspec.containers(pod):
        _count(pod, container, by_name.get(container["name"]), counts)
    return counts


def pod_phase(pod: Obj, statuses: list[Obj], *, terminal: bool) -> str:
    """`statuses` of init and main containers; `terminal`: nothing of the pod runs or will run again."""
    found = _counts(pod, {status["name"]: status for status in statuses})
    if found.failed_init:
        return FAILED
    if found.pending_init or found.pending_sidecars or found.waiting:
        return PENDING
    if found.running and not found.unknown:
        return RUNNING
    if not found.running and found.stopped and not found.unknown:
        # A static pod may come back under the same name: only its manifest's removal ends it.
        final = terminal and not podspec.is_static(pod)
        if found.restarting and not final:
            return RUNNING
        return SUCCEEDED if found.succeeded == found.stopped else FAILED
    return PENDING

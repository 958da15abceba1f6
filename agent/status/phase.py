"""A pod's phase from its container statuses. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase .
"""

from __future__ import annotations

from agent import podspec
from agent.podspec import Obj

PENDING, RUNNING, SUCCEEDED, FAILED, UNKNOWN = "Pending", "Running", "Succeeded", "Failed", "Unknown"
TERMINAL = (SUCCEEDED, FAILED)


def _sidecar_started(status: Obj | None) -> bool:
    return bool(status and status.get("started"))


def _init_progress(pod: Obj, statuses: dict[str, Obj]) -> tuple[int, int]:
    """(init containers still before or in their work, init containers that failed for good)."""
    pending = failed = 0
    regular_seen = False
    for container in podspec.containers(pod):
        state = statuses.get(container["name"], {}).get("state") or {}
        last = statuses.get(container["name"], {}).get("lastState") or {}
        regular_seen = regular_seen or "running" in state or "terminated" in state or "terminated" in last
    for container in podspec.init_containers(pod):
        status = statuses.get(container["name"])
        state = (status or {}).get("state") or {}
        last = (status or {}).get("lastState") or {}
        if podspec.is_sidecar(container):
            if not regular_seen and not _sidecar_started(status):
                pending += 1
            continue
        if status is None:
            pending += 0 if regular_seen else 1
        elif "running" in state:
            pending += 1
        elif "terminated" in state:
            failed += state["terminated"]["exitCode"] != 0
        elif last.get("terminated"):
            if last["terminated"]["exitCode"] != 0:
                pending += 1
        else:
            pending += 1
    return pending, failed


def pod_phase(pod: Obj, statuses: list[Obj], *, terminal: bool) -> str:
    """``statuses`` of init and main containers; ``terminal``: nothing of the pod runs or will run again."""
    by_name = {status["name"]: status for status in statuses}
    pending_init, failed_init = _init_progress(pod, by_name)
    unknown = running = waiting = stopped = succeeded = 0
    for container in podspec.containers(pod):
        status = by_name.get(container["name"])
        if status is None:
            unknown += 1
            continue
        state, last = status.get("state") or {}, status.get("lastState") or {}
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"]["exitCode"] == 0
        elif last.get("terminated"):
            stopped += 1
        else:
            waiting += 1
    never = podspec.restart_policy(pod) == "Never"
    if failed_init and never:
        return FAILED
    if pending_init:
        return PENDING
    if waiting:
        return PENDING
    if running and not unknown:
        return RUNNING
    if not running and stopped and not unknown:
        # A static pod may come back under the same name: only its manifest's removal ends it.
        if terminal and not podspec.is_static(pod):
            return SUCCEEDED if succeeded == stopped else FAILED
        if podspec.restart_policy(pod) == "Always":
            return RUNNING
        if succeeded == stopped:
            return SUCCEEDED
        return FAILED if never else RUNNING
    return PENDING

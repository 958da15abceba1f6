"""The table of pods: one word that sums up phase, containers, init containers and deletion."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.objects import Obj, condition, condition_holds
from controlplane.apiserver.tables import texts
from controlplane.apiserver.tables.spec import AGE, NAME, Table, text, wide

COMPLETED = {"type": "Completed", "status": "True"}
FINISHED = {
    "Succeeded": {**COMPLETED, "reason": "Succeeded", "message": "The pod has completed successfully."},
    "Failed": {**COMPLETED, "reason": "Failed", "message": "The pod failed."},
}


class _Count:
    """Restarts and the time of the last one, added up over container statuses."""

    def __init__(self) -> None:
        self.restarts = 0
        self.last = ""

    def add(self, status: Obj) -> None:
        self.restarts += int(status.get("restartCount") or 0)
        finished = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last = max(self.last, finished)

    def text(self, now: datetime) -> str:
        return (
            f"{self.restarts} ({texts.since(self.last, now)} ago)"
            if self.restarts and self.last
            else str(self.restarts)
        )


def _ended(terminated: Obj) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _restartable(spec: Obj) -> set[str]:
    return {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}


def _init_reason(pod: Obj, sidecars: set[str], counts: tuple[_Count, _Count]) -> tuple[str, int]:
    """(what the first unfinished init container is doing, "" when none; ready sidecars before it)."""
    everything, of_sidecars = counts
    ready = 0
    total = len(pod["spec"].get("initContainers") or ())
    for index, status in enumerate(pod["status"].get("initContainerStatuses") or ()):
        everything.add(status)
        sidecar = status.get("name") in sidecars
        if sidecar:
            of_sidecars.add(status)
        state = status.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and status.get("started"):
            ready += bool(status.get("ready"))
            continue
        if terminated is not None:
            return "Init:" + _ended(terminated), ready
        if waiting.get("reason") not in (None, "", "PodInitializing"):
            return "Init:" + waiting["reason"], ready
        return f"Init:{index}/{total}", ready
    return "", ready


def _main_reason(pod: Obj, reason: str, count: _Count) -> tuple[str, int]:
    """(what the first container that is not simply running says, ready containers)."""
    ready, failure = 0, ""
    running = False
    for status in reversed(pod["status"].get("containerStatuses") or ()):
        count.add(status)
        state = status.get("state") or {}
        waiting = (state.get("waiting") or {}).get("reason")
        if waiting:
            reason = waiting
        elif state.get("terminated") is not None:
            reason = _ended(state["terminated"])
            failure = reason if state["terminated"].get("exitCode") else failure
        elif status.get("ready") and state.get("running") is not None:
            running = True
            ready += 1
    if reason == "Completed" and running and condition_holds(pod, "Ready"):
        reason = "Running"
    elif reason == "Completed":
        reason = failure or ("NotReady" if running else reason)
    return reason, ready


def summary(pod: Obj, now: datetime) -> tuple[str, str, str]:
    """The cells Ready ("1/2"), Status ("CrashLoopBackOff") and Restarts ("3 (5m ago)") of a pod."""
    pod = {**pod, "status": pod.get("status") or {}}
    spec, status = pod["spec"], pod["status"]
    sidecars = _restartable(spec)
    total = len(spec.get("containers") or ()) + len(sidecars)
    reason = status.get("reason") or status.get("phase") or ""
    if (condition(pod, "PodScheduled") or {}).get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    everything, count = _Count(), _Count()
    init, ready = _init_reason(pod, sidecars, (everything, count))
    if not init or condition_holds(pod, "Initialized"):
        reason, more = _main_reason(pod, init or reason, count)
        ready += more
    else:
        reason, count = init, everything
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return f"{ready}/{total}", reason, count.text(now)


def _gates(pod: Obj) -> str:
    gates = pod["spec"].get("readinessGates") or ()
    if not gates:
        return texts.NONE
    return f"{sum(condition_holds(pod, gate.get('conditionType', '')) for gate in gates)}/{len(gates)}"


def cells(pod: Obj, now: datetime) -> list[Any]:
    status = pod.get("status") or {}
    addresses = status.get("podIPs") or ()
    return [
        texts.name(pod),
        *summary(pod, now),
        texts.age(pod, now),
        (addresses[0].get("ip") if addresses else "") or texts.NONE,
        pod["spec"].get("nodeName") or texts.NONE,
        status.get("nominatedNodeName") or texts.NONE,
        _gates(pod),
    ]


def conditions(pod: Obj) -> list[dict[str, str]]:
    finished = FINISHED.get((pod.get("status") or {}).get("phase", ""))
    return [finished] if finished else []


POD = Table(
    columns=(
        NAME,
        text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
        text("Status", "The aggregate status of the containers in this pod."),
        text(
            "Restarts",
            "The number of times the containers in this pod have been restarted "
            "and when the last container in this pod has restarted.",
        ),
        AGE,
        wide("IP", "core.v1.PodStatus#podIP"),
        wide("Node", "core.v1.PodSpec#nodeName"),
        wide("Nominated Node", "core.v1.PodStatus#nominatedNodeName"),
        wide("Readiness Gates", "core.v1.PodSpec#readinessGates"),
    ),
    cells=cells,
    conditions=conditions,
)

"""Pod conditions the kubelet owns. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions .
"""

from __future__ import annotations

from collections.abc import Sequence

from agent import podspec, restarts
from agent.status.phase import FAILED, SUCCEEDED, TERMINAL
from apimachinery.conditions import dated
from apimachinery.objects import Obj

# Said by whoever ends a pod for a reason that is not its own: also by the agent.
DISRUPTION_TARGET = "DisruptionTarget"
RESIZE_PENDING, RESIZE_IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
RESIZES = (RESIZE_PENDING, RESIZE_IN_PROGRESS)
OWNED = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    restarts.CONDITION,
    *RESIZES,
)


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Obj:
    made: Obj = {"type": kind, "status": "True" if holds else "False"}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made


def resize_condition(kind: str, generation: int | None, reason: str = "", message: str = "") -> Obj:
    """Of a resize that waits or is under way, since this generation of the pod."""
    made = _condition(kind, True, reason, message)
    return {**made, "observedGeneration": generation} if generation else made


def _unready_message(names: list[str], unknown: list[str], noun: str) -> str:
    parts = []
    if unknown:
        parts.append(f"containers with unknown status: [{' '.join(unknown)}]")
    if names:
        parts.append(f"containers with {noun} status: [{' '.join(names)}]")
    return ", ".join(parts)


def initialized(pod: Obj, statuses: list[Obj], phase: str, old: list[Obj]) -> Obj:
    by_name = {status["name"]: status for status in statuses}
    started = any(
        "running" in (s := (by_name.get(c["name"], {}).get("state") or {}))
        or "terminated" in s
        or (by_name.get(c["name"], {}).get("lastState") or {}).get("terminated")
        for c in podspec.containers(pod)
    )
    unknown, incomplete = [], []
    for container in podspec.init_containers(pod):
        status = by_name.get(container["name"])
        if status is None:
            unknown.append(container["name"])
        elif podspec.is_sidecar(container):
            if not status.get("started") and not started:
                incomplete.append(container["name"])
        elif not status["ready"]:
            incomplete.append(container["name"])
    if phase == SUCCEEDED and not unknown:
        return _condition("Initialized", True, "PodCompleted")
    if (
        started
        and not unknown
        and not any(not podspec.is_sidecar(c) and c["name"] in incomplete for c in podspec.init_containers(pod))
    ):
        incomplete = []
    if restarts.all_could_restart(pod) and any(c["type"] == "Initialized" and c["status"] == "True" for c in old):
        # Init containers that run anew do not take a pod back to its beginning.
        return _condition("Initialized", True)
    if message := _unready_message(incomplete, unknown, "incomplete"):
        return _condition("Initialized", False, "ContainersNotInitialized", message)
    return _condition("Initialized", True)


def containers_ready(pod: Obj, statuses: list[Obj], phase: str) -> Obj:
    by_name = {status["name"]: status for status in statuses}
    sidecars = [c for c in podspec.init_containers(pod) if podspec.is_sidecar(c)]
    unknown, unready = [], []
    for container in (*sidecars, *podspec.containers(pod)):
        status = by_name.get(container["name"])
        if status is None:
            unknown.append(container["name"])
        elif not status["ready"]:
            unready.append(container["name"])
    if phase == SUCCEEDED and not unknown:
        return _condition("ContainersReady", False, "PodCompleted")
    if phase == FAILED:
        return _condition("ContainersReady", False, "PodFailed")
    if message := _unready_message(unready, unknown, "unready"):
        return _condition("ContainersReady", False, "ContainersNotReady", message)
    return _condition("ContainersReady", True)


def ready(pod: Obj, containers: Obj, others: list[Obj]) -> Obj:
    """The containers' readiness, then the readiness gates; `others` are all conditions the pod carries."""
    if containers["status"] != "True":
        return {**containers, "type": "Ready"}
    held = {c["type"]: c for c in others}
    problems = []
    for gate in podspec.spec(pod).get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in held:
            problems.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif held[kind].get("status") != "True":
            text = f'the status of pod readiness gate "{kind}" is not "True", but {held[kind].get("status")}'
            problems.append(text)
    if problems:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(problems))
    return _condition("Ready", True)


def all_restarting(phase: str, under_way: bool) -> Obj:
    """Whether containers are being taken away to start anew; `under_way`: some of them are still there."""
    if phase in TERMINAL:
        return _condition(restarts.CONDITION, False, "PodCompleted" if phase == SUCCEEDED else "PodFailed")
    if not under_way:
        return _condition(restarts.CONDITION, False)
    text = "container exited with restart policy rule"
    return _condition(restarts.CONDITION, True, "RestartAllContainersStarted", text)


def pod_conditions(
    pod: Obj,
    statuses: list[Obj],
    phase: str,
    sandbox_ready: bool,
    old: list[Obj],
    *,
    restarting: bool = False,
    resizes: Sequence[Obj] = (),
) -> list[Obj]:
    """The owned conditions in upstream's order, without times; then every condition others put on the pod."""
    containers = containers_ready(pod, statuses, phase)
    foreign = [c for c in old if c["type"] not in OWNED]
    generation = pod["metadata"].get("generation")
    made = [
        _condition("PodReadyToStartContainers", sandbox_ready),
        initialized(pod, statuses, phase, old),
        ready(pod, containers, foreign),
        containers,
        _condition("PodScheduled", True),
    ]
    if generation:
        made = [{**condition, "observedGeneration": generation} for condition in made]
    if restarts.all_could_restart(pod):
        made.append(all_restarting(phase, restarting))
    return [*made, *(() if phase in TERMINAL else resizes), *foreign]


def stamp(conditions: list[Obj], old: list[Obj], now: str) -> list[Obj]:
    """Times: a condition whose status did not change keeps its transition time."""
    return [
        dated(old, {**condition, "lastProbeTime": None}, now) if condition["type"] in OWNED else condition
        for condition in conditions
    ]


def with_foreign_conditions(status: Obj, reported: Obj) -> Obj:
    """`status` with the conditions that others put on the pod as `reported` has them now."""
    foreign = [c for c in reported.get("conditions") or () if c["type"] not in OWNED]
    own = [c for c in status.get("conditions") or () if c["type"] in OWNED]
    if not own and not foreign:
        return status
    return {**status, "conditions": own + foreign}

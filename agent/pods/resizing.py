"""A resize from the wish to its end: granted or put off, brought about in cgroups and containers, told."""

from __future__ import annotations

import logging
import time

import orjson

from agent import podspec
from agent.cri.errors import CriError
from agent.pods.actions import PodActions
from agent.pods.life import Life
from agent.status.conditions import RESIZE_IN_PROGRESS, RESIZE_PENDING, resize_condition
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

# Room may come free at any moment, and nothing tells of it; and what a container holds shrinks by itself.
AGAIN_SECONDS = 10.0


def consider(life: Life) -> None:
    """Whether what the pod's object asks for can be had now."""
    resizes = life.report.resizes
    if life.pod is life.asked:
        resizes.pop(RESIZE_PENDING, None)
        return
    generation = life.asked["metadata"].get("generation")
    decision = life.shared.gate.decide(life.asked, life.neighbours.holding)
    if decision.refusal is None and not decision.victims:
        life.grant(time.time_ns())
        resizes.pop(RESIZE_PENDING, None)
        resizes[RESIZE_IN_PROGRESS] = resize_condition(RESIZE_IN_PROGRESS, generation)
        _tell(life, life.pod, "Normal", "ResizeStarted", "Pod resize started")
        return
    # Who would take a place for a critical pod that is to begin does not take it for one that grows.
    why = decision.refusal.message if decision.refusal else "Node didn't have enough resource without ending other pods"
    before = resizes.get(RESIZE_PENDING) or {}
    resizes[RESIZE_PENDING] = resize_condition(RESIZE_PENDING, generation, "Deferred", why)
    if before.get("observedGeneration") != generation:
        _tell(life, life.asked, "Warning", "ResizeDeferred", "Pod resize Deferred", why)


async def actuate(life: Life, actions: PodActions) -> None:
    """Widen the pod's cgroup and change the containers that need no new start. What fails is told, and tried again."""
    wanted = {c.name: c.resize for c in life.wanted.resizable if c.resize is not None}
    record, cgroups = life.record, life.shared.cgroups
    try:
        runs = [run for name in actions.updates if (run := record.newest(name)) is not None]
        lower = {run.id: wanted[run.name].limits.memory for run in runs if wanted[run.name].lowers_memory(run)}
        await life.shared.applier.check_memory(lower)
        if cgroups is not None:
            cgroups.widen_pod(life.pod)
        for run in runs:
            await life.shared.applier.resize(life.pod, run)
            life.resized(run.id, wanted[run.name].limits)
    except (CriError, OSError) as error:
        _failed(life, error.detail if isinstance(error, CriError) else error.strerror or str(error))


def settle(life: Life) -> None:
    """Once nothing is left to change in containers the pod's cgroup shrinks, and the resize is over."""
    record, resizes = life.record, life.report.resizes
    if any(c.resize is not None and c.resize.changes(record.newest(c.name)) for c in life.wanted.resizable):
        return
    if (cgroups := life.shared.cgroups) is not None:
        try:
            cgroups.ensure_pod(life.pod)
        except OSError as error:
            _failed(life, error.strerror or str(error))
            return
        cgroups.weigh(life.pod, again=True)
    life.resize_over()
    if resizes.pop(RESIZE_IN_PROGRESS, None) is not None:
        _tell(life, life.pod, "Normal", "ResizeCompleted", "Pod resize completed")
    life.tell(record)


def _failed(life: Life, why: str) -> None:
    resizes = life.report.resizes
    before = resizes.get(RESIZE_IN_PROGRESS) or {}
    generation = before.get("observedGeneration") or life.pod["metadata"].get("generation")
    resizes[RESIZE_IN_PROGRESS] = resize_condition(RESIZE_IN_PROGRESS, generation, "Error", why)
    log.warning("pod %s: resize: %s", podspec.full_name(life.pod), why)
    if before.get("message") != why:
        _tell(life, life.pod, "Warning", "ResizeError", "Pod resize error", why)
    life.resize_due = time.time() + AGAIN_SECONDS
    life.due_within(AGAIN_SECONDS)
    life.tell(life.record)


def _tell(life: Life, pod: Obj, kind: str, reason: str, text: str, error: str = "") -> None:
    """The event carries what every container is to have, as upstream's does."""
    summary: Obj = {}
    for listed in ("initContainers", "containers"):
        if containers := podspec.spec(pod).get(listed):
            summary[listed] = [{"name": c["name"], "resources": c.get("resources") or {}} for c in containers]
    summary["generation"] = pod["metadata"].get("generation", 0)
    if error:
        summary["error"] = error
    life.shared.reporter.pod(life.pod, kind, reason, f"{text}: {orjson.dumps(summary).decode()}")

"""What the scheduler writes of a pod beside its binding: why it has no node, for whom others went, and events of it."""

from __future__ import annotations

import asyncio

from apimachinery import errors
from apimachinery.client import Client, PatchType
from apimachinery.conditions import dated
from apimachinery.events import EventRecorder
from apimachinery.informer import Informer
from apimachinery.kinds import POD
from apimachinery.objects import Obj, uid
from apimachinery.timestamps import format_time, now
from controlplane.scheduler import extract
from controlplane.scheduler.explain import note
from controlplane.scheduler.framework import Found

# Requests under way at once: more would only open more connections, each with its handshake.
ABREAST = 8


class Reports:
    """Writes conditions, nominations and evictions; `pods` says what the API had last."""

    def __init__(self, client: Client, recorder: EventRecorder, pods: Informer) -> None:
        self.client, self._recorder, self._pods = client, recorder, pods
        self.abreast = asyncio.Semaphore(ABREAST)

    def current(self, pod: extract.Pod) -> Obj | None:
        """The pod's object, if it is there still."""
        obj = self._pods.get(pod.key)
        return obj if obj is not None and uid(obj) == pod.uid else None

    def bound(self, pod: extract.Pod, node: str) -> None:
        """Tell that the pod has a node."""
        obj = self.current(pod)
        if obj is not None:
            self._recorder.event(obj, "Normal", "Scheduled", f"Successfully assigned {pod.key} to {node}")

    async def failed(self, pod: extract.Pod, reason: str, message: str, nominated: str | None) -> None:
        """Tell why it has none; `nominated`: the node it waits for, "" for no longer any, None for as before.
        ApiError, Unreachable.
        """
        obj = self.current(pod)
        if obj is None:
            return
        self._recorder.event(obj, "Warning", "FailedScheduling", note(message))
        patch = condition_patch(obj, reason, message, nominated)
        if patch is not None:
            await self._patch(pod, patch)

    async def give_way(self, pod: extract.Pod) -> None:
        """The pod is nominated no more, for one of a higher priority is. ApiError, Unreachable."""
        if self.current(pod) is not None:
            await self._patch(pod, {"status": {"nominatedNodeName": None}})

    async def evict(self, preemptor: extract.Pod, found: Found) -> None:
        """Mark and delete the victims, saying for whom. ApiError, Unreachable."""

        async def one(victim: extract.Pod) -> None:
            obj = self.current(victim)
            if obj is None or victim.deleting:
                return
            try:
                await self._patch(victim, _disruption(obj, preemptor.profile))
                async with self.abreast:
                    await self.client.delete(POD, victim.name, victim.namespace, uid=victim.uid)
            except (errors.NotFound, errors.Conflict):
                # It is gone, or another one has its name.
                return
            text = f"Preempted by pod {preemptor.uid} on node {found.node}"
            self._recorder.event(obj, "Normal", "Preempted", text)

        for failure in await asyncio.gather(*(one(victim) for victim in found.victims), return_exceptions=True):
            if failure is not None:
                raise failure

    async def _patch(self, pod: extract.Pod, patch: Obj) -> None:
        body = {**patch, "metadata": {"uid": pod.uid}}
        async with self.abreast:
            await self.client.patch(
                POD, pod.name, body, pod.namespace, subresource="status", patch_type=PatchType.STRATEGIC
            )


def _disruption(obj: Obj, scheduler: str) -> Obj:
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": f"{scheduler}: preempting to accommodate a higher priority pod",
        "lastTransitionTime": format_time(now()),
    }
    if generation := obj["metadata"].get("generation"):
        condition["observedGeneration"] = generation
    return {"status": {"conditions": [condition]}}


def condition_patch(obj: Obj, reason: str, message: str, nominated: str | None) -> Obj | None:
    """The strategic merge patch of a pod's status that says why it has no node, or None where it says so
    already.
    """
    status = obj.get("status") or {}
    old: Obj = next((c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"), {})
    same = (old.get("status"), old.get("reason"), old.get("message")) == ("False", reason, message)
    moved = nominated is not None and (status.get("nominatedNodeName") or "") != nominated
    if same and not moved:
        return None
    wanted = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message, "lastProbeTime": None}
    condition = dated([old], wanted, format_time(now()))
    if generation := obj["metadata"].get("generation"):
        condition["observedGeneration"] = generation
    patch: Obj = {"status": {"conditions": [condition]}}
    if moved:
        patch["status"]["nominatedNodeName"] = nominated or None
    return patch

"""Events in, bindings out: the only part of the scheduler that talks to the API.

The decision itself takes no await, so nothing changes under it; the binding is written by a task of its own
while the pod already counts on its node.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from apimachinery import errors
from apimachinery.client import Client, PatchType
from apimachinery.conditions import dated
from apimachinery.events import EventRecorder
from apimachinery.informer import Handler, Informer
from apimachinery.kinds import POD
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj, uid
from apimachinery.timestamps import format_time, now
from controlplane.scheduler import extract, metrics, preemption
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.cycle import Decision, decide, explain
from controlplane.scheduler.framework import Change, Plugin, Profile, Query, Workloads
from controlplane.scheduler.queue import Queue, Waiting
from controlplane.scheduler.storage import InformedStorage, NotBound

log = logging.getLogger(__name__)

# Decisions in a row before the loop looks at sockets again; each takes well under a millisecond.
BURST = 8
# What a change of a claim, a volume, a class is to a waiting pod.
STORAGE_CHANGES = (Change.CLAIM, Change.VOLUME, Change.STORAGE_CLASS)
# Requests under way at once: more would only open more connections, each with its handshake.
ABREAST = 8


@dataclass(frozen=True)
class Parts:
    """What a Scheduler is built from."""

    client: Client
    pods: Informer
    nodes: Informer
    recorder: EventRecorder
    profiles: Mapping[str, Profile]
    workloads: Workloads
    storage: InformedStorage


class Scheduler:
    """Holds cluster and queue up to date from the informers' first event; decides once `run` is called."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.cluster = Cluster()
        plugins: dict[str, Plugin] = {
            plugin.name: plugin for profile in parts.profiles.values() for plugin in profile.plugins
        }
        self.queue = Queue(lambda name: plugins[name].helped_by)
        self._query = Query(self.cluster, parts.workloads, parts.storage)
        self._wake = asyncio.Event()
        self._writes: set[asyncio.Task[None]] = set()
        self._abreast = asyncio.Semaphore(ABREAST)
        self._views: dict[str, extract.Pod] = {}
        for informer, change in zip(parts.storage.informers, STORAGE_CHANGES, strict=True):
            informer.add_handler(self._on_storage(change))
        parts.nodes.add_handler(self.on_node)
        parts.pods.add_handler(self.on_pod)

    async def run(self) -> None:
        """Schedule for ever."""
        for informer in (self._parts.nodes, self._parts.pods, *self._parts.storage.informers):
            await informer.wait_synced()
        log.info("scheduling %d nodes as %s", len(self.cluster.nodes), ", ".join(self._parts.profiles))
        while True:
            self._wake.clear()
            if self._some():
                await asyncio.sleep(0)
                continue
            await is_set_within(self._wake, self.queue.next_ready(time.monotonic()))

    def _some(self) -> bool:
        """Try a few pods; False when none was ready."""
        for _ in range(BURST):
            waiting = self.queue.pop(time.monotonic())
            if waiting is None:
                return False
            self._attempt(waiting)
        return True

    # Events

    def on_node(self, old: Obj | None, new: Obj | None) -> None:
        """Informer callback: the cluster's view of the node, and which refused pods the change may help."""
        if new is None:
            if old is not None:
                self.cluster.remove_node(old["metadata"]["name"])
            return
        view = extract.node(new)
        before = self.cluster.set_node(view)
        for change in node_changes(before, view):
            self._changed(change)

    def on_pod(self, old: Obj | None, new: Obj | None) -> None:
        """Informer callback: a pod is counted on its node, waits in the queue, or is nobody's business here.

        A pod made anew under its name (another uid) is a removal and an arrival.
        """
        if old is not None and (new is None or uid(old) != uid(new)):
            self._forget(uid(old))
        if new is None:
            return
        view = extract.pod(new)
        if view.finished:
            self._forget(view.uid)
        elif view.node_name:
            self._placed(view)
        elif view.deleting:
            # It will not be scheduled any more; an unbound pod goes without a kubelet's word.
            self._forget(view.uid)
        elif view.profile in self._parts.profiles and not self.cluster.is_assumed(view.uid):
            self._views[view.uid] = view
            gate = next((g for p in self._parts.profiles[view.profile].gates if (g := p.pre_enqueue(view))), None)
            self.queue.add(view, time.monotonic(), gate)
            self._wake.set()

    def _on_storage(self, change: Change) -> Handler:
        return lambda _old, _new: self._changed(change)

    def _placed(self, view: extract.Pod) -> None:
        self.queue.remove(view.uid)
        self._views.pop(view.uid, None)
        before = self.cluster.placed(view.uid)
        assumed = self.cluster.is_assumed(view.uid)
        self.cluster.place(view)
        if before is None:
            self._changed(Change.POD_PLACED)
        elif not assumed and (before.requests, before.labels, before.deleting) != (
            view.requests,
            view.labels,
            view.deleting,
        ):
            self._changed(Change.POD_UPDATED)

    def _forget(self, pod_uid: str) -> None:
        self.queue.remove(pod_uid)
        self._views.pop(pod_uid, None)
        assumed = self.cluster.is_assumed(pod_uid)
        gone = self.cluster.remove(pod_uid)
        if gone is None:
            return
        if assumed:
            # It went on its way: what was kept for it is free, and nobody waits for it any more.
            for plugin in reversed(self._parts.profiles[gone.profile].reservers):
                plugin.unreserve(gone, gone.node_name)
        self._changed(Change.POD_REMOVED)

    def _changed(self, change: Change) -> None:
        if self.queue.changed(change, time.monotonic()):
            self._wake.set()

    # Decisions

    def _attempt(self, waiting: Waiting) -> None:
        pod, started = waiting.pod, time.perf_counter()
        profile = self._parts.profiles[pod.profile]
        try:
            decision = decide(pod, profile, self._query, random.randrange(1 << 30))
        except Exception:
            log.exception("deciding on %s failed", pod.key)
            self.queue.failed(waiting, time.monotonic())
            metrics.attempt("error", pod.profile, time.perf_counter() - started)
            return
        if decision.node:
            self.cluster.assume(pod, decision.node)
            for plugin in profile.reservers:
                plugin.reserve(pod, self.cluster.nodes[decision.node])
            self._changed(Change.POD_PLACED)
            self._write(self._bind(waiting, profile, decision.node, started))
            return
        metrics.attempt("unschedulable", pod.profile, time.perf_counter() - started)
        self._refuse(waiting, profile, decision)

    def _refuse(self, waiting: Waiting, profile: Profile, decision: Decision) -> None:
        pod = waiting.pod
        found = preemption.plan(pod, profile, self._query, decision)
        message = explain(decision, len(self.cluster.nodes), found.message)
        self.queue.refused(waiting, decision.plugins, time.monotonic())
        self._write(self._report(pod, "Unschedulable", message, found))

    # Writes

    def _write(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _bind(self, waiting: Waiting, profile: Profile, node: str, started: float) -> None:
        pod = waiting.pod
        try:
            for plugin in profile.pre_binders:
                await plugin.pre_bind(self._parts.client, pod, node)
            async with self._abreast:
                for plugin in profile.binders:
                    if await plugin.bind(self._parts.client, pod, node):
                        break
        except (errors.ApiError, errors.Unreachable, NotBound) as error:
            # After silence the binding may stand; a second one is then refused and the watch tells the truth.
            metrics.attempt("error", pod.profile, time.perf_counter() - started)
            self._unbind(waiting, profile, node, error)
            return
        metrics.attempt("scheduled", pod.profile, time.perf_counter() - started)
        obj = self._current(pod)
        if obj is not None:
            text = f"Successfully assigned {pod.key} to {node}"
            self._parts.recorder.event(obj, "Normal", "Scheduled", text)

    def _unbind(self, waiting: Waiting, profile: Profile, node: str, error: Exception) -> None:
        pod = waiting.pod
        log.warning("binding %s to %s failed: %s", pod.key, node, error)
        for plugin in reversed(profile.reservers):
            plugin.unreserve(pod, node)
        if self.cluster.is_assumed(pod.uid):
            self.cluster.remove(pod.uid)
            self._changed(Change.POD_REMOVED)
        obj = self._current(pod)
        if obj is None or (obj.get("spec") or {}).get("nodeName") or isinstance(error, errors.NotFound):
            return
        waiting.pod = self._views.get(pod.uid, pod)
        self.queue.failed(waiting, time.monotonic())
        self._wake.set()
        if isinstance(error, NotBound):
            text = f'running PreBind plugin "VolumeBinding": {error}'
            self._write(self._report(pod, "SchedulerError", text, preemption.Found()))

    def _current(self, pod: extract.Pod) -> Obj | None:
        obj = self._parts.pods.get(pod.key)
        return obj if obj is not None and uid(obj) == pod.uid else None

    async def _report(self, pod: extract.Pod, reason: str, message: str, found: preemption.Found) -> None:
        obj = self._current(pod)
        if obj is None:
            return
        self._parts.recorder.event(obj, "Warning", "FailedScheduling", message)
        patch = condition_patch(obj, reason, message, found.node)
        try:
            if patch is not None:
                async with self._abreast:
                    await self._parts.client.patch(
                        POD, pod.name, patch, pod.namespace, subresource="status", patch_type=PatchType.STRATEGIC
                    )
            await preemption.evict(self._parts.client, self._parts.recorder, self._parts.pods, pod, found)
        except (errors.ApiError, errors.Unreachable) as error:
            log.warning("status of %s not written: %s", pod.key, error)


def node_changes(old: extract.Node | None, new: extract.Node) -> list[Change]:
    """Which changes of a node may help a waiting pod."""
    if old is None:
        return [Change.NODE_ADDED]
    changes = []
    if old.allocatable != new.allocatable:
        changes.append(Change.NODE_ALLOCATABLE)
    if old.labels != new.labels:
        changes.append(Change.NODE_LABELS)
    if old.taints != new.taints or old.unschedulable != new.unschedulable:
        changes.append(Change.NODE_TAINTS)
    return changes


def condition_patch(obj: Obj, reason: str, message: str, nominated: str) -> Obj | None:
    """The strategic merge patch of a pod's status that says why it has no node, or None where it says so
    already.
    """
    status = obj.get("status") or {}
    old: Obj = next((c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"), {})
    same = (old.get("status"), old.get("reason"), old.get("message")) == ("False", reason, message)
    if same and (not nominated or status.get("nominatedNodeName") == nominated):
        return None
    wanted = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message, "lastProbeTime": None}
    condition = dated([old], wanted, format_time(now()))
    if generation := obj["metadata"].get("generation"):
        condition["observedGeneration"] = generation
    patch: Obj = {"status": {"conditions": [condition]}}
    if nominated:
        patch["status"]["nominatedNodeName"] = nominated
    return patch

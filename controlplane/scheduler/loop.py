"""One pod after the other: taken from the queue, decided on, and sent on its way.

A decision takes no await unless extenders are asked, so nothing changes under it; the binding is written by a task of
its own while the pod already counts on its node.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.informer import Informer
from apimachinery.kit.tasks import is_set_within
from controlplane.scheduler import extract, metrics, storage
from controlplane.scheduler.asking import Asking
from controlplane.scheduler.binding import Attempt, Binder
from controlplane.scheduler.board import Boards
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.cycle import Decision, choose, decide, find
from controlplane.scheduler.devices import holdings
from controlplane.scheduler.devices.holdings import InformedDevices
from controlplane.scheduler.explain import explain
from controlplane.scheduler.extenders import Extender
from controlplane.scheduler.framework import Found, Profile, Query, Write
from controlplane.scheduler.queue import Pauses, Queue, Waiting
from controlplane.scheduler.refused import Refused
from controlplane.scheduler.reports import Reports
from controlplane.scheduler.storage import InformedStorage
from controlplane.scheduler.surroundings import Budgets, Workloads
from controlplane.scheduler.watching import Watcher

log = logging.getLogger(__name__)

# Decisions in a row before the loop looks at sockets again; each takes well under a millisecond.
BURST = 8


@dataclass(frozen=True)
class Parts:
    """What a Scheduler is built from."""

    client: Client
    pods: Informer
    nodes: Informer
    namespaces: Informer
    recorder: EventRecorder
    profiles: Mapping[str, Profile]
    workloads: Workloads
    storage: InformedStorage
    devices: InformedDevices
    budgets: Budgets
    extenders: Sequence[Extender] = ()
    pauses: Pauses = field(default_factory=Pauses)


class Scheduler:
    """Holds cluster and queue up to date from the informers' first event; decides once `run` is called."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.cluster = Cluster()
        self.queue = Queue(parts.profiles, parts.pauses)
        self._boards = Boards()
        self._query = Query(self.cluster, parts.workloads, parts.storage, parts.budgets)
        self._wake = asyncio.Event()
        self._writes: set[asyncio.Task[Any]] = set()
        self._watcher = Watcher(self.cluster, self.queue, parts.profiles, self._wake.set)
        self._reports = Reports(parts.client, parts.recorder, parts.pods)
        self._binder = Binder(self.cluster, self.queue, self._watcher, self._reports, parts.extenders)
        self._asking = Asking(parts.extenders, parts.pods, parts.nodes)
        others = dict(zip(parts.storage.informers, storage.KINDS.values(), strict=True))
        others |= zip(parts.devices.informers, holdings.KINDS.values(), strict=True)
        self._watcher.watch(parts.pods, parts.nodes, parts.namespaces, others)

    async def run(self) -> None:
        """Schedule for ever."""
        parts = self._parts
        for informer in (parts.nodes, parts.namespaces, parts.pods, *parts.storage.informers, *parts.devices.informers):
            await informer.wait_synced()
        log.info("scheduling %d nodes as %s", len(self.cluster.nodes), ", ".join(parts.profiles))
        while True:
            self._wake.clear()
            if await self._some():
                await asyncio.sleep(0)
                continue
            await is_set_within(self._wake, self.queue.next_ready(time.monotonic()))

    async def _some(self) -> bool:
        """Try a few pods; False when none was ready."""
        for _ in range(BURST):
            waiting = self.queue.pop(time.monotonic())
            if waiting is None:
                return False
            await self._attempt(waiting)
        return True

    async def _attempt(self, waiting: Waiting) -> None:
        pod, started = waiting.pod, time.perf_counter()
        profile = self._parts.profiles[pod.profile]
        try:
            decision = await self._decide(pod, profile)
            if decision.node:
                attempt = Attempt(waiting, profile, decision.node, started)
                self._binder.reserve(attempt)
                self._write(self._binder.bind(attempt))
                return
            found = _post_filter(pod, profile, self._query, decision)
            if found.node and self._asking.preemption:
                found = await self._asking.preempt(pod, found, self.cluster)
        except Exception as error:
            if not isinstance(error, Refused):
                log.exception("deciding on %s failed", pod.key)
            metrics.attempt("error", pod.profile, time.perf_counter() - started)
            self._binder.retry(waiting)
            self._write(self._report(pod, "SchedulerError", str(error), Found()))
            return
        metrics.attempt("unschedulable", pod.profile, time.perf_counter() - started)
        self._refuse(waiting, decision, found)

    async def _decide(self, pod: extract.Pod, profile: Profile) -> Decision:
        """Where the pod goes. The cluster may change while extenders are asked: what they leave is looked at anew."""
        asked = self._asking.about(pod)
        tie_break = random.randrange(1 << 30)
        if not asked:
            return decide(pod, profile, self._query, self._boards, tie_break)
        decision = find(pod, profile, self._query, self._boards)
        extra: Mapping[str, float] = {}
        if decision.fits:
            decision, extra = await self._asking.extend(pod, decision, asked)
            if pod.uid not in self._watcher.views:
                raise Refused("pod is gone, or bound by another")
            again = find(pod, profile, self._query, self._boards)
            fitting = {verdict.info.node.name: verdict for verdict in again.fits}
            fits = [fitting[v.info.node.name] for v in decision.fits if v.info.node.name in fitting]
            decision = decision.narrowed(fits)
        if not decision.fits:
            return decision
        return choose(pod, profile, self._query, decision, tie_break, extra)

    def _refuse(self, waiting: Waiting, decision: Decision, found: Found) -> None:
        pod = waiting.pod
        message = explain(decision, len(self.cluster.nodes), found.message)
        nominated = self.cluster.nominated
        losing: list[extract.Pod] = []
        if found.node:
            losing = nominated.below(pod, found.node)
            for other in losing:
                nominated.drop(other.uid)
            nominated.put(pod, found.node)
        elif found.clear:
            nominated.drop(pod.uid)
        if found.node:
            self._write(self._make_room(waiting, decision, message, found, losing))
        else:
            self._shelve(waiting, decision)
            self._write(self._report(pod, "Unschedulable", message, found))

    def _shelve(self, waiting: Waiting, decision: Decision) -> None:
        """Back to the queue as the pod is now, until something changes that may help; not one that is gone or bound."""
        now = self._watcher.views.get(waiting.pod.uid)
        if now is not None:
            waiting.pod = now
            self.queue.refused(waiting, decision.plugins, time.monotonic())
            self._wake.set()

    async def _make_room(
        self, waiting: Waiting, decision: Decision, message: str, found: Found, losing: Sequence[extract.Pod]
    ) -> None:
        """Have the victims go. The pod stays out of the queue until all are told: tried in between, it would find the
        room lacking still and have others go, too.
        """
        pod, told = waiting.pod, False
        try:
            told = await self._report(pod, "Unschedulable", message, found, losing)
        finally:
            self._shelve(waiting, decision)
            if not told:
                # No room is made: what was promised is void, and no pod will go that would bring the pod back.
                self.cluster.nominated.drop(pod.uid)
                self.queue.nudge(pod.uid, time.monotonic())

    def _write(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _report(
        self, pod: extract.Pod, reason: str, message: str, found: Found, losing: Sequence[extract.Pod] = ()
    ) -> bool:
        """Tell why the pod has no node, and make the room that was found for it; whether that was done."""
        nominated = found.node or ("" if found.clear else None)
        try:
            await self._reports.failed(pod, reason, message, nominated)
            for write in found.writes:
                await write(self._parts.client)
            for other in losing:
                await self._reports.give_way(other)
            await self._reports.evict(pod, found)
        except errors.NotFound:
            return False
        except (errors.ApiError, errors.Unreachable) as error:
            log.warning("status of %s not written: %s", pod.key, error)
            return False
        return True


def _post_filter(pod: extract.Pod, profile: Profile, query: Query, decision: Decision) -> Found:
    """The first plugin's answer that makes room, or what the plugins say why there is none."""
    messages: list[str] = []
    writes: list[Write] = []
    clear = False
    if not query.cluster.nodes:
        return Found()
    for plugin in profile.at("postFilter"):
        found = plugin.post_filter(pod, profile, query, decision)
        if found is None:
            continue
        writes += found.writes
        if found.node:
            return replace(found, writes=tuple(writes))
        clear = clear or found.clear
        if found.message:
            messages.append(found.message)
    return Found(", ".join(messages), clear=clear, writes=tuple(writes))

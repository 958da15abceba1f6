"""From a decision to a binding: the pod counts on its node already while plugins prepare and write.

Whatever fails, the pod is given back to the queue and what was kept for it is free. Silence is no failure: a binding to
which no answer came may stand, so the pod goes on counting on its node until the API server says whether it does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from apimachinery import errors
from apimachinery.kinds import POD
from apimachinery.objects import uid
from controlplane.scheduler import extract, metrics
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.extenders import Extender
from controlplane.scheduler.framework import Profile
from controlplane.scheduler.queue import Queue, Waiting
from controlplane.scheduler.refused import Refused
from controlplane.scheduler.reports import Reports
from controlplane.scheduler.watching import Watcher

log = logging.getLogger(__name__)

# Seconds between two questions whether a binding stands.
ASK_AGAIN = 1.0


@dataclass(frozen=True)
class Attempt:
    """A pod on its way to a node; `started`: by time.perf_counter()."""

    waiting: Waiting
    profile: Profile
    node: str
    started: float

    @property
    def pod(self) -> extract.Pod:
        return self.waiting.pod


class Binder:
    """Takes attempts to their end."""

    def __init__(
        self, cluster: Cluster, queue: Queue, watcher: Watcher, reports: Reports, extenders: Sequence[Extender]
    ) -> None:
        self._cluster, self._queue, self._watcher = cluster, queue, watcher
        self._reports, self._extenders = reports, extenders

    def reserve(self, attempt: Attempt) -> None:
        """Count the pod on its node, and have the plugins keep what it will use. Refused, with nothing kept."""
        pod, node = attempt.pod, attempt.node
        self._cluster.assume(pod, node)
        try:
            for plugin in attempt.profile.at("reserve"):
                plugin.reserve(pod, self._cluster.nodes[node])
        except Exception:
            self._release(attempt)
            raise
        self._watcher.changed(Event(Change.POD_PLACED, pod=pod))

    async def bind(self, attempt: Attempt) -> None:
        """Permit, PreBind, Bind and PostBind."""
        pod, node = attempt.pod, attempt.node
        try:
            for plugin in attempt.profile.at("permit"):
                await plugin.permit(pod, node)
        except Refused as error:
            await self._undo(attempt, str(error), "Unschedulable")
            return
        at = "PreBind"
        name = ""
        try:
            for plugin in attempt.profile.at("preBind"):
                name = plugin.name
                await plugin.pre_bind(self._reports.client, pod, node)
            at = "Bind"
            name = await self._write(attempt)
        except errors.Unreachable as error:
            log.warning("binding %s to %s: %s", pod.key, node, error)
            if not await self._stands(pod, node):
                await self._undo(attempt, "")
                return
        except errors.NotFound:
            await self._undo(attempt, "")
            return
        except Exception as error:
            if not isinstance(error, (errors.ApiError, Refused)):
                log.exception("binding %s to %s failed", pod.key, node)
            await self._undo(attempt, f'running {at} plugin "{name}": {error}')
            return
        metrics.attempt("scheduled", pod.profile, time.perf_counter() - attempt.started)
        for plugin in attempt.profile.at("postBind"):
            plugin.post_bind(pod, node)
        self._reports.bound(pod, node)

    async def _write(self, attempt: Attempt) -> str:
        """Have the binding written, by an extender that does so or the first plugin that does; who was asked last."""
        pod = attempt.pod
        obj = self._reports.current(pod)
        for extender in self._extenders:
            if extender.settings.bind_verb and obj is not None and extender.is_interested(obj):
                await extender.bind(pod.name, pod.namespace, pod.uid, attempt.node)
                return extender.settings.url_prefix
        async with self._reports.abreast:
            for plugin in attempt.profile.at("bind"):
                if await plugin.bind(self._reports.client, pod, attempt.node):
                    return plugin.name
        raise Refused("no plugin took it")

    async def _stands(self, pod: extract.Pod, node: str) -> bool:
        """Whether a binding was written to which no answer came; asked until it is known."""
        while True:
            await self._reports.client.reachable()
            try:
                now = await self._reports.client.get(POD, pod.name, pod.namespace)
            except errors.NotFound:
                return False
            except (errors.ApiError, errors.Unreachable) as error:
                log.warning("whether %s is bound is not known: %s", pod.key, error)
                await asyncio.sleep(ASK_AGAIN)
                continue
            return uid(now) == pod.uid and (now.get("spec") or {}).get("nodeName") == node

    async def _undo(self, attempt: Attempt, message: str, reason: str = "SchedulerError") -> None:
        """Give everything back, and tell of it where there is a message."""
        pod = attempt.pod
        metrics.attempt("error", pod.profile, time.perf_counter() - attempt.started)
        if message:
            log.warning("%s to %s: %s", pod.key, attempt.node, message)
        self._release(attempt)
        await self._retract(attempt)
        self.retry(attempt.waiting)
        if message:
            try:
                await self._reports.failed(pod, reason, message, None)
            except (errors.ApiError, errors.Unreachable) as error:
                log.warning("status of %s not written: %s", pod.key, error)

    async def _retract(self, attempt: Attempt) -> None:
        """What stays written though this fails is not lost: the pod finds it when it is tried again."""
        for plugin in reversed(attempt.profile.at("reserve")):
            try:
                await plugin.retract(self._reports.client, attempt.pod, attempt.node)
            except (errors.ApiError, errors.Unreachable) as error:
                log.warning("%s: what %s wrote was not taken back: %s", attempt.pod.key, plugin.name, error)

    def _release(self, attempt: Attempt) -> None:
        pod = attempt.pod
        for plugin in reversed(attempt.profile.at("reserve")):
            plugin.unreserve(pod, attempt.node)
        if self._cluster.is_assumed(pod.uid):
            gone = self._cluster.remove(pod.uid)
            self._watcher.changed(Event(Change.POD_REMOVED, old=gone))

    def retry(self, waiting: Waiting) -> None:
        """Back to the queue, as the pod is now; one that is gone or bound is nobody's any more."""
        now = self._watcher.views.get(waiting.pod.uid)
        if now is None or self._cluster.placed(waiting.pod.uid) is not None:
            return
        waiting.pod = now
        self._queue.failed(waiting, time.monotonic())
        self._watcher.wake()

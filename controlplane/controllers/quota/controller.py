"""Counts quotas when something becomes free, when they change, and every few minutes."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from apimachinery import discovery, errors
from apimachinery.informer import Handler, Informer
from apimachinery.kinds import DEVICE_CLASS, RESOURCE_CLAIM, RESOURCE_QUOTA, Kind
from apimachinery.objects import Obj, key, namespace
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced
from controlplane.controllers.quota import plan

log = logging.getLogger(__name__)


class ResourceQuotaController:
    """The loop; keys are quotas. A kind is watched from when the first quota limits it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._quotas = context.informers.of(RESOURCE_QUOTA)
        self._quotas.index_by_namespace()
        self._queue: WorkQueue[str] = WorkQueue("resourcequota", backoff_max=60.0)
        self._served: tuple[Kind, ...] = ()
        self._watched: dict[str, Informer] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._quotas.add_handler(self._on_quota)

    async def run(self) -> None:
        try:
            await synced(self._quotas)
            await asyncio.gather(self._queue.run_workers(self._context.settings.workers, self._sync), self._again())
        finally:
            for task in self._tasks:
                task.cancel()

    def _on_quota(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and plan.asks(old, new):
            self._queue.add(key(new))

    def _on_object(self, kind: Kind, old: Obj | None, new: Obj | None) -> None:
        if plan.frees(kind, old, new, now()):
            for quota in self._quotas.in_namespace(namespace(new or old or {})):
                self._queue.add(key(quota))

    async def _again(self) -> None:
        """All of them, and which kinds there are."""
        while True:
            await asyncio.sleep(self._context.settings.quota_sync_period)
            self._served = ()
            for quota in self._quotas.items():
                self._queue.add(key(quota))

    async def _sync(self, item: str) -> None:
        if self._quotas.get(item) is None:
            return
        if not self._served:
            self._served = plan.countable((await discovery.served(self._context.client)).preferred())
        quota = self._quotas.get(item)
        if quota is None:
            return
        # Forgotten now and then, also while this waits.
        served = self._served
        classes = await self._device_classes(quota)
        kinds = plan.limited(quota, served, classes)
        counted = {kind: self._informer(kind, partial(self._on_object, kind)) for kind in kinds}
        await synced(*counted.values())
        objects = {kind: informer.in_namespace(namespace(quota)) for kind, informer in counted.items()}
        status = plan.status(quota, plan.used(quota, objects, now(), classes))
        if status is None:
            return
        try:
            await self._context.client.update(RESOURCE_QUOTA, {**quota, "status": status}, subresource="status")
        except errors.NotFound:
            return

    async def _device_classes(self, quota: Obj) -> list[Obj]:
        """All, where something that the quota limits may be devices of one; none otherwise."""
        if RESOURCE_CLAIM not in self._served or not plan.asks_devices(quota):
            return []
        informer = self._informer(DEVICE_CLASS, self._on_class)
        await synced(informer)
        return informer.items()

    def _on_class(self, old: Obj | None, new: Obj | None) -> None:
        for quota in filter(plan.asks_devices, self._quotas.items()):
            self._queue.add(key(quota))

    def _informer(self, kind: Kind, handler: Handler) -> Informer:
        """Of a kind; shared, where another loop has it."""
        found = self._watched.get(kind.resource)
        if found is None:
            shared = (i for i in self._context.informers.all() if i.kind.resource == kind.resource)
            found = next(shared, None) or self._begun(kind)
            found.index_by_namespace()
            found.add_handler(handler)
            self._watched[kind.resource] = found
        return found

    def _begun(self, kind: Kind) -> Informer:
        informer = self._context.informers.apart(kind)
        self._tasks.append(asyncio.ensure_future(informer.run()))
        return informer

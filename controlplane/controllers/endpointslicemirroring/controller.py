"""Keeps the mirrored slices of each Endpoints."""

from __future__ import annotations

from apimachinery.kinds import ENDPOINTS, SERVICE
from apimachinery.objects import Obj, key
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import names
from controlplane.controllers.context import Context, synced
from controlplane.controllers.endpointslice.plan import Plan
from controlplane.controllers.endpointslice.writer import SliceWriter
from controlplane.controllers.endpointslicemirroring.plan import is_mirrored, plan


class EndpointSliceMirroringController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._services = context.informers.of(SERVICE)
        self._endpoints = context.informers.of(ENDPOINTS)
        self._queue: WorkQueue[str] = WorkQueue("endpointslicemirroring", backoff_max=60.0)
        failed = "Failed to update EndpointSlices for Endpoints"
        self._slices = SliceWriter(context, names.SLICE_MIRROR, failed, self._queue.add_after)
        for informer in (self._services, self._endpoints):
            informer.add_handler(self._on_change)

    async def run(self) -> None:
        await synced(self._services, self._endpoints, self._slices.informer)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_change(self, old: Obj | None, new: Obj | None) -> None:
        item = key(new or old or {})
        if self._endpoints.get(item) is not None or self._slices.of(item):
            self._queue.add(item)

    async def _sync(self, item: str) -> None:
        endpoints, service = self._endpoints.get(item), self._services.get(item)
        slices = self._slices.of(item)
        if endpoints is None or not is_mirrored(endpoints, service):
            self._slices.forget(item)
            if slices:
                await self._slices.apply(item, Plan(delete=tuple(slices)))
            return
        if not await self._slices.settled(item):
            return
        todo = plan(endpoints, slices)
        for note in todo.notes:
            self._context.recorder.event(endpoints, note.kind, note.reason, note.message)
        await self._slices.apply(item, todo, endpoints)

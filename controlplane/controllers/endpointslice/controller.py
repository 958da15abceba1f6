"""Keeps the slices of each Service; a pod's readiness is passed on in the same turn of the loop that hears of
it.
"""

from __future__ import annotations

from apimachinery.kinds import NODE, POD, SERVICE
from apimachinery.objects import Obj, key
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import names
from controlplane.controllers.context import Context, synced
from controlplane.controllers.endpointslice import topology
from controlplane.controllers.endpointslice.changes import Changes
from controlplane.controllers.endpointslice.plan import plan
from controlplane.controllers.endpointslice.writer import SliceWriter


class EndpointSliceController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._services = context.informers.of(SERVICE)
        self._pods = context.informers.of(POD)
        self._nodes = context.informers.of(NODE)
        self._queue: WorkQueue[str] = WorkQueue("endpointslice", backoff_max=60.0)
        failed = "Failed to update Endpoint Slices for Service"
        self._slices = SliceWriter(context, names.SLICE_MANAGER, failed, self._queue.add_after)
        self._changes = Changes(self._services, self._pods, self._queue.add)
        self._hinted: dict[str, frozenset[str]] = {}
        self._zones: topology.Zones | None = None
        self._services.add_handler(self._on_service)
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        await synced(self._services, self._pods, self._nodes, self._slices.informer)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_service(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._slices.forget(key(old))
            self._hinted.pop(key(old), None)

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        before, after = topology.place(old), topology.place(new)
        if before == after:
            return
        self._zones = None
        for service in self._services.items():
            if before[0] != after[0] or topology.is_automatic(service):
                self._queue.add(key(service))

    async def _sync(self, item: str) -> None:
        service = self._services.get(item)
        if service is None:
            return
        spec = service.get("spec") or {}
        if not spec.get("selector") or spec.get("type") == "ExternalName":
            return
        # Whatever keeps it from settling brings the Service back.
        if service["metadata"].get("deletionTimestamp") or not await self._slices.settled(item):
            return
        if self._zones is None:
            self._zones = topology.zones_of(self._nodes.items())
        pods, slices = self._changes.pods_of(service), self._slices.of(item)
        trigger = self._changes.take_trigger(item)
        todo = plan(service, pods, slices, self._zones, trigger, self._hinted.get(item, frozenset()))
        await self._slices.apply(item, todo, service)
        self._hinted[item] = todo.hinted
        for note in todo.notes:
            self._context.recorder.event(service, note.kind, note.reason, note.message)

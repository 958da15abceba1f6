"""Keeps the Endpoints of each Service."""

from __future__ import annotations

import contextlib

from apimachinery import errors, objects
from apimachinery.kinds import ENDPOINTS, POD, SERVICE
from apimachinery.objects import Obj, key, resource_version, split_key
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import names
from controlplane.controllers.context import Context, synced
from controlplane.controllers.endpoints.plan import plan
from controlplane.controllers.endpointslice.changes import Changes
from controlplane.controllers.pod_control import is_namespace_going


class EndpointsController:
    """The loop. There is one object for each Service, of its name: a cache that is behind ends in Conflict or
    AlreadyExists, never in a second one.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._services = context.informers.of(SERVICE)
        self._endpoints = context.informers.of(ENDPOINTS)
        self._pods = context.informers.of(POD)
        self._queue: WorkQueue[str] = WorkQueue("endpoints", backoff_max=60.0)
        self._changes = Changes(self._services, self._pods, self._queue.add)
        self._endpoints.add_handler(self._on_endpoints)

    async def run(self) -> None:
        await synced(self._services, self._pods, self._endpoints)
        # What lost its Service while nobody looked. Leases were once kept in Endpoints without one.
        for found in self._endpoints.items():
            if names.LEADER not in objects.annotations(found):
                self._queue.add(key(found))
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_endpoints(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._queue.add(key(old))

    async def _sync(self, item: str) -> None:
        service, current = self._services.get(item), self._endpoints.get(item)
        if service is None:
            if current is not None:
                await self._delete(item)
            return
        spec = service.get("spec") or {}
        if not spec.get("selector") or spec.get("type") == "ExternalName":
            return
        pods = self._changes.pods_of(service)
        wanted = plan(service, pods, current, self._changes.take_trigger(item))
        if wanted is not None:
            await self._write(service, wanted)

    async def _delete(self, item: str) -> None:
        space, which = split_key(item)
        with contextlib.suppress(errors.NotFound):
            await self._context.client.delete(ENDPOINTS, which, space)

    async def _write(self, service: Obj, wanted: Obj) -> None:
        client, fresh = self._context.client, not resource_version(wanted)
        try:
            await (client.create(ENDPOINTS, wanted) if fresh else client.update(ENDPOINTS, wanted))
        except errors.Conflict:
            raise
        except errors.ApiError as error:
            if fresh and is_namespace_going(error):
                return
            text = f"Failed to create endpoint for service {key(service)}: {error}"
            if not fresh:
                text = f"Failed to update endpoint {key(service)}: {error}"
            reason = "FailedToCreateEndpoint" if fresh else "FailedToUpdateEndpoint"
            self._context.recorder.event(wanted, "Warning", reason, text)
            raise

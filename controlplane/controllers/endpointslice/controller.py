"""Keeps the slices of each Service; a pod's readiness is passed on in the same turn of the loop that hears of
it.
"""

from __future__ import annotations

import asyncio
import logging

from apimachinery import errors
from apimachinery.kinds import ENDPOINT_SLICE, NODE, POD, SERVICE
from apimachinery.objects import Obj, condition, key, labels, name, namespace, uid
from apimachinery.selectors import from_map
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import names
from controlplane.controllers.context import Context, generated_name, synced
from controlplane.controllers.endpointslice import endpoints
from controlplane.controllers.endpointslice.plan import plan
from controlplane.controllers.expectations import DOUBT_AFTER, Expectations

log = logging.getLogger(__name__)

BY_NAMESPACE = "namespace"
BY_SERVICE = "service"


class EndpointSliceController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._services = context.informers.of(SERVICE)
        self._pods = context.informers.of(POD)
        self._nodes = context.informers.of(NODE)
        self._slices = context.informers.of(ENDPOINT_SLICE)
        self._queue: WorkQueue[str] = WorkQueue("endpointslice", backoff_max=60.0)
        self._expected = Expectations(ENDPOINT_SLICE, self._slices)
        # Slice uid to the generation of our last write, until the cache shows it.
        self._written: dict[str, int] = {}
        self._triggers: dict[str, str] = {}
        for informer in (self._services, self._pods):
            informer.add_index(BY_NAMESPACE, lambda obj: (namespace(obj),))
        self._slices.add_index(BY_SERVICE, _service_keys)
        self._services.add_handler(self._on_service)
        self._pods.add_handler(self._on_pod)
        self._nodes.add_handler(self._on_node)
        self._slices.add_handler(self._on_slice)

    async def run(self) -> None:
        await synced(self._services, self._pods, self._nodes, self._slices)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_service(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._expected.forget(key(old))
            self._triggers.pop(key(old), None)
        elif new is not None and old is None:
            self._trigger(key(new), new["metadata"].get("creationTimestamp"))
        self._queue.add(key(new or old or {}))

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and endpoints.relevant(old) == endpoints.relevant(new):
            return
        seen: set[str] = set()
        for pod in (new, old):
            if pod is None:
                continue
            pod_labels = labels(pod)
            for service in self._services.by_index(BY_NAMESPACE, namespace(pod)):
                selector = (service.get("spec") or {}).get("selector")
                if selector and key(service) not in seen and selector.items() <= pod_labels.items():
                    seen.add(key(service))
                    ready = condition(pod, "Ready") or {}
                    self._trigger(key(service), ready.get("lastTransitionTime"))
                    self._queue.add(key(service))

    def _trigger(self, service: str, moment: str | None) -> None:
        """The earliest of the changes that one sync takes up."""
        if moment is not None:
            self._triggers[service] = min(self._triggers.get(service, moment), moment)

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        before = labels(old or {}).get(names.ZONE)
        if before != labels(new or {}).get(names.ZONE):
            for service in self._services.items():
                self._queue.add(key(service))

    def _on_slice(self, old: Obj | None, new: Obj | None) -> None:
        piece = new or old or {}
        service = next(iter(_service_keys(piece)), None)
        if service is None:
            return
        if new is None and old is not None:
            self._expected.deleted(service, uid(old))
            self._written.pop(uid(old), None)
        if new is not None:
            self._expected.created(service, key(new))
        self._queue.add(service)

    async def _sync(self, item: str) -> None:
        service = self._services.get(item)
        if service is None:
            return
        spec = service.get("spec") or {}
        selector = spec.get("selector")
        if not selector or spec.get("type") == "ExternalName" or service["metadata"].get("deletionTimestamp"):
            return
        slices = self._slices.by_index(BY_SERVICE, item)
        if not self._expected.settled(item):
            await self._expected.verify(item, self._context.client)
            self._queue.add_after(item, DOUBT_AFTER)
        if not self._expected.settled(item) or any(self._is_stale(s) for s in slices):
            # The slice's own event brings the Service back.
            return
        chosen = from_map(selector)
        pods = [p for p in self._pods.by_index(BY_NAMESPACE, namespace(service)) if chosen.matches(labels(p))]
        zones = {name(n): zone for n in self._nodes.items() if (zone := labels(n).get(names.ZONE))}
        todo = plan(service, pods, slices, zones, self._triggers.pop(item, None))
        writes = [self._create(item, piece) for piece in todo.create]
        writes += [self._update(piece) for piece in todo.update]
        writes += [self._delete(item, piece) for piece in todo.delete]
        results = await asyncio.gather(*writes, return_exceptions=True)
        for error in results:
            if isinstance(error, errors.ApiError) and not isinstance(error, errors.Conflict):
                text = f"Failed to update Endpoint Slices for Service {item}: {error}"
                self._context.recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", text)
            if isinstance(error, BaseException):
                raise error

    def _is_stale(self, piece: Obj) -> bool:
        written = self._written.get(uid(piece))
        return written is not None and int(piece["metadata"].get("generation") or 0) < written

    async def _create(self, service: str, piece: Obj) -> None:
        piece["metadata"]["name"] = generated_name(piece["metadata"]["generateName"])
        self._expected.creating(service, key(piece))
        try:
            await self._context.client.create(ENDPOINT_SLICE, piece)
        except errors.NotFound:
            self._expected.created(service, key(piece))
        except errors.ApiError as error:
            self._expected.created(service, key(piece))
            if error.reason == "Forbidden" and _is_going(error):
                return
            raise

    async def _update(self, piece: Obj) -> None:
        written = await self._context.client.update(ENDPOINT_SLICE, piece)
        self._written[uid(written)] = int(written["metadata"].get("generation") or 0)

    async def _delete(self, service: str, piece: Obj) -> None:
        self._expected.deleting(service, uid(piece), key(piece))
        try:
            await self._context.client.delete(ENDPOINT_SLICE, name(piece), namespace(piece), uid=uid(piece))
        except errors.ApiError as error:
            self._expected.deleted(service, uid(piece))
            if not isinstance(error, errors.NotFound):
                raise


def _service_keys(piece: Obj) -> tuple[str, ...]:
    found = labels(piece)
    if found.get(names.SLICE_MANAGED_BY) != names.SLICE_MANAGER or not found.get(names.SERVICE_NAME):
        return ()
    return (f"{namespace(piece)}/{found[names.SERVICE_NAME]}",)


def _is_going(error: errors.ApiError) -> bool:
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)

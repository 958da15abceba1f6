"""The slices of one manager: found by Service, written, and not planned for again before the cache shows that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from apimachinery import errors
from apimachinery.informer import Informer
from apimachinery.kinds import ENDPOINT_SLICE
from apimachinery.objects import Obj, key, labels, name, namespace, uid
from controlplane.controllers import names
from controlplane.controllers.context import Context, generated_name
from controlplane.controllers.endpointslice.plan import Plan
from controlplane.controllers.expectations import DOUBT_AFTER, Expectations
from controlplane.controllers.pod_control import is_namespace_going


class SliceWriter:
    """`add_after` gets the key of each Service whose slices changed, and the seconds to wait. `failed`: how the
    event of a failed write begins, before the key.
    """

    def __init__(self, context: Context, manager: str, failed: str, add_after: Callable[[str, float], None]) -> None:
        self.informer: Informer = context.informers.of(ENDPOINT_SLICE)
        self._context = context
        self._manager = manager
        self._failed = failed
        self._add_after = add_after
        self._expected = Expectations(ENDPOINT_SLICE, self.informer)
        # Slice uid to the generation of our last write, until the cache shows it.
        self._written: dict[str, int] = {}
        self.informer.add_index(manager, self._service_keys)
        self.informer.add_handler(self._on_slice)

    def of(self, service: str) -> list[Obj]:
        """The manager's slices of a Service."""
        return self.informer.by_index(self._manager, service)

    def forget(self, service: str) -> None:
        """The Service is gone."""
        self._expected.forget(service)

    async def settled(self, service: str) -> bool:
        """Whether the cache shows all that was written; if not, the Service comes back when it does. ApiError,
        Unreachable.
        """
        if not self._expected.settled(service):
            await self._expected.verify(service, self._context.client)
            self._add_after(service, DOUBT_AFTER)
        return self._expected.settled(service) and not any(self._is_stale(s) for s in self.of(service))

    async def apply(self, service: str, todo: Plan, source: Obj | None = None) -> None:
        """Write a plan, every part at once. `source`: what the slices are made of, which is told of a failure.
        Raises what the first failed request raised, when all have ended.
        """
        writes = [self._create(service, piece) for piece in todo.create]
        writes += [self._update(piece) for piece in todo.update]
        writes += [self._delete(service, piece) for piece in todo.delete]
        failures = [e for e in await asyncio.gather(*writes, return_exceptions=True) if isinstance(e, BaseException)]
        for error in failures:
            if source is not None and isinstance(error, errors.ApiError) and not isinstance(error, errors.Conflict):
                text = f"{self._failed} {service}: {error}"
                self._context.recorder.event(source, "Warning", "FailedToUpdateEndpointSlices", text)
        if failures:
            raise failures[0]

    def _service_keys(self, piece: Mapping[str, object]) -> tuple[str, ...]:
        found = labels(piece)
        if found.get(names.SLICE_MANAGED_BY) != self._manager or not found.get(names.SERVICE_NAME):
            return ()
        return (f"{namespace(piece)}/{found[names.SERVICE_NAME]}",)

    def _on_slice(self, old: Obj | None, new: Obj | None) -> None:
        piece = new or old or {}
        for service in {*self._service_keys(piece), *self._service_keys(old or {})}:
            if new is None and old is not None:
                self._expected.deleted(service, uid(old))
                self._written.pop(uid(old), None)
            if new is not None:
                self._expected.created(service, key(new))
            self._add_after(service, 0)

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
            if not is_namespace_going(error):
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

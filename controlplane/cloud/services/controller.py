"""Gives each Service of type LoadBalancer its load balancer, and takes it away before the Service goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from apimachinery import errors
from apimachinery.kinds import NODE, SERVICE
from apimachinery.objects import Obj, is_deleting, key, name, namespace, resource_version, uid
from apimachinery.workqueue import WorkQueue
from controlplane.cloud.context import Context
from controlplane.cloud.interface import CloudError, LoadBalancers, RetryLater
from controlplane.cloud.services import plan
from controlplane.controllers.context import synced

log = logging.getLogger(__name__)

BACKOFF_MAX = 300.0
TELLERS = 5
"""Load balancers that are told of other nodes at the same time: one that hangs holds up nobody else's."""
SHOWN_NODES = 20
NO_NODES = "There are no available nodes for LoadBalancer"


class ServiceController:
    """The loop; keys are Services. Changes of nodes are told to each load balancer that is there."""

    def __init__(self, context: Context, balancers: LoadBalancers) -> None:
        self._context = context
        self._balancers = balancers
        self._services = context.informers.of(SERVICE)
        self._nodes = context.informers.of(NODE)
        first = context.settings.service_backoff_first
        self._queue: WorkQueue[str] = WorkQueue("service", BACKOFF_MAX, first)
        # Also Services, those whose load balancers are to be told of other nodes.
        self._node_queue: WorkQueue[str] = WorkQueue("service-nodes", BACKOFF_MAX, first)
        # The Services with load balancers as they were last seen, and the nodes that their load balancers were told of.
        self._known: dict[str, Obj] = {}
        self._told: dict[str, Mapping[str, str]] = {}
        # A cloud is told of a load balancer's nodes by one at a time: what was asked first may be done last.
        self._telling: dict[str, asyncio.Lock] = {}
        self._services.add_handler(self._on_service)
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        await synced(self._services, self._nodes)
        workers = self._context.settings.concurrent_service_syncs
        await asyncio.gather(
            self._queue.run_workers(workers, self._sync), self._node_queue.run_workers(TELLERS, self._tell)
        )

    def _on_service(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            if old is not None and key(old) in self._known:
                self._queue.add(key(old))
            return
        if not plan.concerns(old, new):
            return
        for reason, text in plan.changes(old, new):
            self._context.recorder.event(new, "Normal", reason, text)
        self._queue.add(key(new))

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if plan.moves_hosts(old, new):
            for item in self._known:
                self._node_queue.add(item)

    async def _sync(self, item: str) -> None:
        service, known = self._services.get(item), self._known.get(item)
        try:
            if known is not None and (service is None or uid(service) != uid(known)):
                # Gone without our finalizer: somebody took it off.
                await self._remove(known)
                self._forget(item)
            if service is not None:
                await self._look(item, service)
        except RetryLater as error:
            self._say(service, "SyncLoadBalancerFailed", f"Error syncing load balancer: {error}")
            self._queue.add_after(item, error.seconds)
        except CloudError as error:
            self._say(service, "SyncLoadBalancerFailed", f"Error syncing load balancer: {error}")
            raise

    async def _look(self, item: str, service: Obj) -> None:
        if plan.move(service) is plan.Move.ENSURE:
            self._known[item] = service
            await self._ensure(item, service)
            return
        if await self._balancers.get(service) is not None:
            await self._remove(service)
        await self._finalizer(service if is_deleting(service) else await self._write(service, {}), wanted=False)
        self._forget(item)

    def _forget(self, item: str) -> None:
        self._known.pop(item, None)
        self._told.pop(item, None)
        self._telling.pop(item, None)

    async def _ensure(self, item: str, service: Obj) -> None:
        recorder = self._context.recorder
        recorder.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
        # Before anything is made: a Service that is deleted meanwhile then waits until it is gone again.
        service = await self._finalizer(service, wanted=True)
        async with self._telling.setdefault(item, asyncio.Lock()):
            nodes = plan.usable(self._nodes.items())
            if not nodes:
                recorder.event(service, "Warning", "UnAvailableLoadBalancer", NO_NODES)
            self._told[item] = plan.hosts(nodes)
            try:
                status = await self._balancers.ensure(service, nodes)
            except RetryLater as error:
                raise RetryLater(f"failed to ensure load balancer: {error}", error.seconds) from error
            except CloudError as error:
                raise CloudError(f"failed to ensure load balancer: {error}") from error
        recorder.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
        await self._write(service, status)

    async def _remove(self, service: Obj) -> None:
        recorder = self._context.recorder
        recorder.event(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer")
        try:
            await self._balancers.delete(service)
        except CloudError as error:
            raise CloudError(f"failed to delete load balancer: {error}") from error
        recorder.event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")

    async def _finalizer(self, service: Obj, wanted: bool) -> Obj:
        finalizers = plan.with_finalizer(service, wanted)
        if finalizers is None:
            return service
        meta = {"uid": uid(service), "resourceVersion": resource_version(service), "finalizers": finalizers}
        return await self._patch(service, {"metadata": meta})

    async def _write(self, service: Obj, status: Obj) -> Obj:
        if status == ((service.get("status") or {}).get("loadBalancer") or {}):
            return service
        patch = {"metadata": {"uid": uid(service)}, "status": {"loadBalancer": status or None}}
        return await self._patch(service, patch)

    async def _patch(self, service: Obj, patch: Obj) -> Obj:
        """As upstream: finalizer and status by the status, which is all that the loop's role lets it write."""
        try:
            return await self._context.client.patch(
                SERVICE, name(service), patch, namespace(service), subresource="status"
            )
        except errors.NotFound:
            return service

    def _say(self, service: Obj | None, reason: str, text: str) -> None:
        if service is not None:
            self._context.recorder.event(service, "Warning", reason, text)

    async def _tell(self, item: str) -> None:
        if item not in self._known:
            return
        async with self._telling.setdefault(item, asyncio.Lock()):
            await self._tell_alone(item)

    async def _tell_alone(self, item: str) -> None:
        nodes = plan.usable(self._nodes.items())
        wanted = plan.hosts(nodes)
        if item not in self._known or self._told.get(item) == wanted:
            return
        # Told or not: a failure is tried again as a Service's own.
        self._told[item] = wanted
        try:
            await self._update(self._services.get(item) or self._known[item], nodes)
        except CloudError as error:
            log.warning("load balancer of %s not told of its nodes: %s", item, error)
            self._queue.add(item)

    async def _update(self, service: Obj, nodes: Sequence[Obj]) -> None:
        recorder = self._context.recorder
        try:
            await self._balancers.update(service, nodes)
        except CloudError as error:
            if await self._balancers.get(service) is None:
                return
            shown = [name(node) for node in nodes[:SHOWN_NODES]]
            more = [f"<{len(nodes) - SHOWN_NODES} more>"] if len(nodes) > SHOWN_NODES else []
            text = f"Error updating load balancer with new hosts [{' '.join([*shown, *more])}]"
            told = f"{text} [node names limited, total number of nodes: {len(nodes)}], error: {error}"
            recorder.event(service, "Warning", "UpdateLoadBalancerFailed", told)
            raise
        if nodes:
            recorder.event(service, "Normal", "UpdatedLoadBalancer", "Updated load balancer with new hosts")
        else:
            recorder.event(service, "Warning", "UnAvailableLoadBalancer", NO_NODES)

"""Keeps the cloud's routes as the nodes' pod ranges are."""

from __future__ import annotations

import asyncio
import logging
import time

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import NODE
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj, name, uid
from apimachinery.timestamps import now
from controlplane.cloud.context import Context
from controlplane.cloud.interface import CloudError, Route, Routes
from controlplane.cloud.routes import plan
from controlplane.controllers.context import synced

log = logging.getLogger(__name__)

# Seconds between two comparisons, however often nodes change.
SHORTEST = 1.0


class RouteController:
    """The loop: all routes at once, soon after a node changed and every now and then."""

    def __init__(self, context: Context, routes: Routes) -> None:
        self._context = context
        self._routes = routes
        self._nodes = context.informers.of(NODE)
        self._changed = asyncio.Event()
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        await synced(self._nodes)
        period = self._context.settings.route_reconciliation_period
        while True:
            self._changed.clear()
            begun = time.monotonic()
            try:
                await self._reconcile()
            except (CloudError, errors.ApiError, errors.Unreachable) as error:
                log.warning("routes not compared with nodes: %s", error)
            await is_set_within(self._changed, period)
            await asyncio.sleep(max(0.0, min(SHORTEST, period) - (time.monotonic() - begun)))

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if old is None or new is None or _matters(old) != _matters(new):
            self._changed.set()

    async def _reconcile(self) -> None:
        nodes = list(self._nodes.items())
        changes = plan.changes(nodes, await self._routes.list(), self._context.settings.cluster_cidr)
        for route in changes.delete:
            await self._delete(route)
        failed: dict[str, str] = {}
        for route in changes.create:
            await self._create(route, nodes, failed)
        for node in nodes:
            await self._tell(node, failed)

    async def _delete(self, route: Route) -> None:
        try:
            await self._routes.delete(route)
            log.info("route to %s by %s deleted", route.destination, route.node or "nobody")
        except CloudError as error:
            log.warning("route to %s by %s not deleted: %s", route.destination, route.node or "nobody", error)

    async def _create(self, route: Route, nodes: list[Obj], failed: dict[str, str]) -> None:
        try:
            await self._routes.create(route)
            log.info("route to %s by %s created", route.destination, route.node)
        except CloudError as error:
            failed[route.node] = str(error)
            node = next(each for each in nodes if name(each) == route.node)
            involved = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name(node), "uid": uid(node)}}
            text = f"Could not create route {uid(node)} {route.destination} for node {route.node}: {error}"
            self._context.recorder.event(involved, "Warning", "FailedToCreateRoute", text)

    async def _tell(self, node: Obj, failed: dict[str, str]) -> None:
        condition = plan.network_condition(node, failed, now())
        if condition is None:
            return
        patch = {"metadata": {"uid": uid(node)}, "status": {"conditions": [condition]}}
        try:
            await self._context.client.patch(
                NODE, name(node), patch, subresource="status", patch_type=PatchType.STRATEGIC
            )
        except errors.NotFound:
            return


def _matters(node: Obj) -> tuple[object, object]:
    return list(plan.pod_ranges(node)), (node.get("status") or {}).get("addresses")

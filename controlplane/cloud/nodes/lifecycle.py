"""Asks the cloud after nodes that are not ready: those whose machine is off are tainted, those without one deleted."""

from __future__ import annotations

import asyncio
import logging

from apimachinery import errors
from apimachinery.kinds import NODE
from apimachinery.objects import Obj, condition_holds, name, resource_version, uid
from controlplane.cloud.context import Context
from controlplane.cloud.interface import CloudError, Instances
from controlplane.cloud.nodes import plan
from controlplane.controllers.context import synced

log = logging.getLogger(__name__)


class NodeLifecycleController:
    """The loop: every node, every monitor period."""

    def __init__(self, context: Context, instances: Instances) -> None:
        self._context = context
        self._instances = instances
        self._nodes = context.informers.of(NODE)

    async def run(self) -> None:
        await synced(self._nodes)
        while True:
            for node in self._nodes.items():
                try:
                    await self._look(node)
                except (CloudError, errors.ApiError, errors.Unreachable) as error:
                    log.info("node %s not compared with its machine: %s", name(node), error)
            await asyncio.sleep(self._context.settings.node_monitor_period)

    async def _look(self, node: Obj) -> None:
        if condition_holds(node, "Ready"):
            await self._taint(node, is_off=False)
        elif not await self._instances.exists(node):
            await self._delete(node)
        elif await self._instances.is_shut_down(node):
            await self._taint(node, is_off=True)

    async def _taint(self, node: Obj, is_off: bool) -> None:
        taints = plan.with_shutdown(node, is_off)
        if taints is not None:
            meta = {"uid": uid(node), "resourceVersion": resource_version(node)}
            await self._context.client.patch(NODE, name(node), {"metadata": meta, "spec": {"taints": taints}})

    async def _delete(self, node: Obj) -> None:
        involved = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name(node), "uid": uid(node)}}
        recorder = self._context.recorder
        text = f"Deleting node {name(node)} because it does not exist in the cloud provider"
        recorder.event(involved, "Normal", "DeletingNode", text)
        try:
            await self._context.client.delete(NODE, name(node), uid=uid(node))
        except errors.NotFound:
            return
        except errors.ApiError as error:
            recorder.event(
                involved, "Warning", "DeletingNodeFailed", f"Failed deleting node {name(node)}: {error.message}"
            )
            raise

"""Tells new nodes what the cloud knows of them, and keeps their addresses as the cloud has them."""

from __future__ import annotations

import asyncio
import logging

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import NODE
from apimachinery.objects import Obj, name, uid
from apimachinery.workqueue import WorkQueue
from controlplane.cloud.context import Context
from controlplane.cloud.interface import CloudError, Instance, Instances
from controlplane.cloud.nodes import plan
from controlplane.controllers.context import synced

log = logging.getLogger(__name__)


class NodeController:
    """The loop; keys are nodes."""

    def __init__(self, context: Context, instances: Instances) -> None:
        self._context = context
        self._instances = instances
        self._nodes = context.informers.of(NODE)
        self._queue: WorkQueue[str] = WorkQueue("cloud-node", backoff_max=60.0)
        self._nodes.add_handler(lambda _old, new: self._queue.add(name(new)) if new is not None else None)

    async def run(self) -> None:
        await synced(self._nodes)
        await asyncio.gather(self._queue.run_workers(1, self._sync), self._compare())

    async def _sync(self, item: str) -> None:
        node = self._nodes.get(item)
        if node is None:
            return
        if plan.is_initialized(node):
            if labels := plan.missing_labels(node):
                await self._context.client.patch(NODE, item, {"metadata": {"uid": uid(node), "labels": labels}})
            return
        instance = await self._instances.describe(node)
        if instance is None:
            return
        try:
            written = await self._context.client.update(NODE, plan.initialized(node, instance))
        except errors.NotFound:
            return
        await self._addresses(written, instance)
        self._context.recorder.event(node, "Normal", "Synced", "Node synced successfully")
        log.info("node %s is %s", item, instance.provider_id)

    async def _compare(self) -> None:
        """The addresses of all nodes, every now and then: a machine may get others while it runs."""
        while True:
            for node in self._nodes.items():
                if plan.is_initialized(node):
                    await self._compare_one(node)
            await asyncio.sleep(self._context.settings.node_status_update_frequency)

    async def _compare_one(self, node: Obj) -> None:
        try:
            instance = await self._instances.describe(node)
            if instance is not None:
                await self._addresses(node, instance)
        except (CloudError, errors.ApiError, errors.Unreachable) as error:
            log.info("addresses of node %s not compared: %s", name(node), error)

    async def _addresses(self, node: Obj, instance: Instance) -> None:
        wanted = plan.address_change(node, instance)
        if wanted is None:
            return
        # The list has merge keys: of addresses that are no more a merge would say nothing.
        patch = {"metadata": {"uid": uid(node)}, "status": {"addresses": [{"$patch": "replace"}, *wanted]}}
        try:
            await self._context.client.patch(
                NODE, name(node), patch, subresource="status", patch_type=PatchType.STRATEGIC
            )
        except errors.NotFound:
            return

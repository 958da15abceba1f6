"""Listens to the nodes' leases and carries out what health, taints and zones say."""

from __future__ import annotations

import asyncio
import logging
import time

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import LEASE, NODE, POD
from apimachinery.objects import Obj, condition, name, namespace, resource_version, uid
from apimachinery.timestamps import format_time, now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import pod_status
from controlplane.controllers.context import Context, synced
from controlplane.controllers.nodelifecycle import health, taints, zones

log = logging.getLogger(__name__)

BY_NODE = "node"
LEASES = "kube-node-lease"
# Seconds without an answer of the API server that are forgiven; less is what every pass takes.
DEAF_FROM = 0.5


class NodeLifecycleController:
    """The loop: taints follow conditions at once, silence is looked for every monitor period."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nodes = context.informers.of(NODE)
        self._pods = context.informers.of(POD)
        self._leases = context.informers.apart(LEASE, LEASES)
        self._heard: dict[str, health.Heard] = {}
        self._queue: WorkQueue[str] = WorkQueue("nodelifecycle", backoff_max=30.0)
        # When each zone may next begin to empty a node, monotonic seconds.
        self._next_eviction: dict[str, float] = {}
        self._pods.add_index(BY_NODE, node_of)
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        listening = asyncio.ensure_future(self._leases.run())
        try:
            await synced(self._nodes, self._pods, self._leases)
            await asyncio.gather(self._monitor(), self._queue.run_workers(1, self._sync))
        finally:
            listening.cancel()

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and (new is None or uid(old) != uid(new)):
            self._heard.pop(uid(old), None)
        if new is None:
            if old is not None:
                self._say(old, "RemovingNode", f"event: Removing Node {name(old)} from Controller")
            return
        self._queue.add(name(new))
        if old is None:
            self._say(new, "RegisteredNode", f"event: Registered Node {name(new)} in Controller")
        was = taints.ready_status(old) if old is not None and uid(old) == uid(new) else None
        if was == "True" and taints.ready_status(new) != "True":
            self._say(new, "NodeNotReady", "status is now: NodeNotReady")
        if was is not None and (was == "True") != (taints.ready_status(new) == "True"):
            # Zones change as a whole: one node's silence may allow or forbid another's eviction.
            for node in self._nodes.items():
                self._queue.add(name(node))

    def _say(self, node: Obj, reason: str, message: str) -> None:
        involved = {"kind": "Node", "name": name(node), "uid": uid(node), "apiVersion": "v1"}
        self._context.recorder.event(involved, "Normal", reason, f"Node {name(node)} {message}")

    async def _monitor(self) -> None:
        period = self._context.settings.node_monitor_period
        contact = time.monotonic()
        while True:
            if await self._hears():
                started = time.monotonic()
                # While the API server was away, or this process stood still, no node could be heard; that is
                # not the nodes' fault, and taking it for silence would empty the cluster after every restart.
                deaf = started - contact - period
                for node in self._nodes.items():
                    await self._look(node, started, deaf if deaf > DEAF_FROM else 0.0)
                contact = time.monotonic()
            await asyncio.sleep(period)

    async def _hears(self) -> bool:
        """Whether the API server answers, and so could pass a heartbeat on."""
        try:
            await self._context.client.request("GET", "/readyz")
        except errors.Unreachable:
            return False
        except errors.ApiError as error:
            return error.status_code < 500
        return True

    async def _look(self, node: Obj, clock: float, deaf: float) -> None:
        before = self._heard.get(uid(node))
        if before is not None and deaf > 0:
            before = health.forgive(before, deaf)
        lease = self._leases.get(f"{LEASES}/{name(node)}")
        heard = health.hear(before, node, lease, clock)
        self._heard[uid(node)] = heard
        settings = self._context.settings
        known = condition(node, "Ready") is not None
        grace = settings.node_monitor_grace if known else settings.node_startup_grace
        if known and settings.lease_shortens_grace:
            grace = health.patience(lease, grace)
        if clock - heard.at <= grace:
            return
        conditions = health.silenced(node, now())
        if conditions is None:
            return
        log.warning("node %s is silent for %.3g s", name(node), clock - heard.at)
        # A node that speaks again meanwhile is not silent: its word must not be written over.
        patch = {"metadata": _as_seen(node), "status": {"conditions": conditions}}
        try:
            await self._context.client.patch(
                NODE, name(node), patch, subresource="status", patch_type=PatchType.STRATEGIC
            )
        except errors.Conflict as error:
            log.info("node %s changed before it was marked as unknown, and is looked at again: %s", name(node), error)
        except (errors.ApiError, errors.Unreachable) as error:
            log.warning("node %s not marked as unknown: %s", name(node), error)

    async def _sync(self, item: str) -> None:
        node = self._nodes.get(item)
        if node is None:
            return
        wanted = taints.tainted(node, self._may_evict(node), now())
        if wanted is not None:
            patch = {"metadata": _as_seen(node), "spec": {"taints": wanted}}
            try:
                await self._context.client.patch(NODE, item, patch)
            except errors.NotFound:
                return
        if taints.ready_status(node) != "True":
            await self._mark_pods(node)

    def _may_evict(self, node: Obj) -> bool:
        """Whether the node may begin to be emptied now; a node that must wait for its turn comes back by
        itself.
        """
        if taints.no_execute(node) is None or _is_evicting(node):
            return True
        key = zones.zone_of(node)
        rate = zones.rates(self._nodes.items(), self._context.settings)[key].rate
        if rate <= 0:
            return False
        moment = time.monotonic()
        wait = self._next_eviction.get(key, 0.0) - moment
        if wait > 0:
            self._queue.add_after(name(node), wait)
            return False
        self._next_eviction[key] = moment + 1 / rate
        return True

    async def _mark_pods(self, node: Obj) -> None:
        """Pods of a node that is not ready are not ready either: their Services must stop sending to them. Conflict
        where a pod changed meanwhile; the others are marked then.
        """
        if condition(node, "Ready") is None:
            return
        changed: errors.Conflict | None = None
        for pod in [p for p in self._pods.by_index(BY_NODE, name(node)) if pod_status.is_ready(p)]:
            try:
                await self._mark(pod)
            except errors.Conflict as error:
                changed = error
        if changed is not None:
            raise changed

    async def _mark(self, pod: Obj) -> None:
        stamp = format_time(now())
        condition = {"type": "Ready", "status": "False", "lastTransitionTime": stamp}
        patch = {"metadata": _as_seen(pod), "status": {"conditions": [condition]}}
        try:
            await self._context.client.patch(
                POD, name(pod), patch, namespace(pod), subresource="status", patch_type=PatchType.STRATEGIC
            )
        except errors.NotFound:
            return
        self._context.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")


def node_of(pod: Obj) -> tuple[str, ...]:
    """Index of pods by node."""
    node = (pod.get("spec") or {}).get("nodeName")
    return (node,) if node else ()


def _as_seen(obj: Obj) -> Obj:
    """Metadata of a patch that is refused where the object is no longer the one that was looked at."""
    return {"uid": uid(obj), "resourceVersion": resource_version(obj)}


def _is_evicting(node: Obj) -> bool:
    listed = (node.get("spec") or {}).get("taints") or ()
    return any(t.get("key") in taints.EVICTING and t.get("effect") == "NoExecute" for t in listed)

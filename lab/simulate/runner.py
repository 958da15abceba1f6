"""Keeps simulated nodes alive and moves their pods from stage to stage, until it is told to end."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from apimachinery import errors
from apimachinery.client import Client, PatchType
from apimachinery.informer import Informer, without_managed_fields
from apimachinery.kinds import DEPLOYMENT, LEASE, NODE, POD
from apimachinery.kit.tasks import end
from apimachinery.objects import Obj, labels, name, namespace, uid
from apimachinery.timestamps import format_micro, format_time, now
from lab.simulate import plan
from lab.simulate.stages import PodStage, Stages

log = logging.getLogger(__name__)

# Requests under way at once.
ABREAST = 16
# Seconds between two heartbeats of a node, as an agent's; a node is missed after four times as long.
HEARTBEAT = 10.0
# Seconds that what it made gets to go at the end.
GOING = 60.0
# Seconds that requests under way get to be answered before.
UNDER_WAY = 30.0
LEASES = "kube-node-lease"
BY_NODE = "node"
SIMULATED = f"{plan.LABEL}=true"


class Runner:
    """One simulation. `client` is an administrator's; `said`: told of each step that takes long."""

    def __init__(self, client: Client, stages: Stages, said: Callable[[str], None]) -> None:
        self._client, self._stages, self._said = client, stages, said
        self.nodes = Informer(client, NODE, label_selector=SIMULATED, transform=without_managed_fields)
        self.nodes.add_handler(self._on_node)
        self.pods = Informer(client, POD, transform=without_managed_fields)
        self.pods.add_index(BY_NODE, lambda pod: (_node_of(pod),))
        self._abreast = asyncio.Semaphore(ABREAST)
        # What nodes say does not wait behind pods, however many come at once: they would be given up for dead.
        self._beating = asyncio.Semaphore(ABREAST)
        self._addresses = itertools.count(1)
        # By pod: who waits for its next stage, or writes it. What is being written is not cut off: its connection would
        # be lost, and each costs the server as much as the write.
        self._moves: dict[str, asyncio.Task[None]] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._workers: list[asyncio.Task[Any]] = []
        self._ready: dict[str, bool] = {}
        self._hands: list[asyncio.Task[None]] = []

    async def start(self, nodes: int, pods: int) -> None:
        """Have so many nodes, and a Deployment of so many pods for them. ApiError, Unreachable."""
        if pods:
            await self._deployment()
        self._spawn(self.nodes.run())
        await self.nodes.wait_synced()
        wanted = {plan.node_name(number): number for number in range(1, nodes + 1)}
        await self._each(self._remove_node, [n for n in map(name, self.nodes.items()) if n not in wanted])
        there = {name(node) for node in self.nodes.items()}
        await self._each(self._add_node, [number for n, number in wanted.items() if n not in there])
        self._said(f"{nodes} simulated nodes")
        self._ready = dict.fromkeys(wanted, True)
        for each in wanted:
            self._spawn(self._live(each))
        self.pods.add_handler(self._on_pod)
        self._spawn(self.pods.run())
        if pods:
            await self._deploy(pods)
            self._said(f"a Deployment of {pods} pods for them: kubectl get deployment {plan.PODS}")

    async def stop(self) -> None:
        """Take away what it made, in the order in which it is used; also after a start that failed or was cut off."""
        if self._hands:
            await asyncio.wait(self._hands, timeout=UNDER_WAY)
        try:
            if ours := await self._deployment():
                await self._client.delete(
                    DEPLOYMENT, plan.PODS, plan.NAMESPACE, uid=uid(ours), propagation="Foreground"
                )
                await self._gone()
        except (errors.NotFound, errors.Conflict, asyncio.TimeoutError):
            log.info("pods of simulated nodes are collected with the nodes")
        await self.leave()
        there = await self._client.list(NODE, label_selector=SIMULATED)
        await self._each(self._remove_node, [name(node) for node in there["items"]])

    async def leave(self) -> None:
        """End, and leave everything as it is."""
        await end([*self._workers, *self._moves.values(), *self._writing], 5.0)

    async def _gone(self) -> None:
        """Return when no pod of the Deployment is left. TimeoutError."""
        deadline = asyncio.get_running_loop().time() + GOING
        while any(labels(p).get("app") == plan.PODS and namespace(p) == plan.NAMESPACE for p in self.pods.items()):
            if asyncio.get_running_loop().time() > deadline:
                raise asyncio.TimeoutError
            await asyncio.sleep(0.1)

    def _spawn(self, work: Any) -> None:
        self._workers.append(asyncio.ensure_future(work))

    async def _each(self, work: Callable[[Any], Awaitable[None]], items: Iterable[Any]) -> None:
        left = iter(items)

        async def worker() -> None:
            for item in left:
                await work(item)

        self._hands = [asyncio.ensure_future(worker()) for _ in range(ABREAST)]
        try:
            await asyncio.wait(self._hands, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            # Where one failed, or all are told to end, nobody begins another. What is under way is not cut off: the
            # server may do it all the same, and later.
            deque(left, maxlen=0)
        await asyncio.wait(self._hands)
        for hand in self._hands:
            hand.result()

    # Nodes

    async def _add_node(self, number: int) -> None:
        try:
            await self._client.create(NODE, plan.node(number, self._stages, format_time(now())))
        except errors.AlreadyExists as error:
            raise errors.Conflict(f"node {plan.node_name(number)} is there, and is not simulated") from error
        meta = {"name": plan.node_name(number), "namespace": LEASES}
        try:
            await self._client.create(LEASE, {"apiVersion": LEASE.api_version, "kind": "Lease", "metadata": meta})
        except errors.AlreadyExists:
            return

    async def _remove_node(self, node: str) -> None:
        for kind, space in ((NODE, None), (LEASE, LEASES)):
            try:
                await self._client.delete(kind, node, space)
            except errors.NotFound:
                continue

    async def _live(self, node: str) -> None:
        """One node: its heartbeats, and the stages that it goes through."""
        await asyncio.sleep(random.uniform(0, HEARTBEAT / 10))
        self._spawn(self._turn(node))
        while True:
            await self._beat(node)
            await asyncio.sleep(HEARTBEAT * random.uniform(0.9, 1.0))

    async def _beat(self, node: str) -> None:
        """Be heard of; and say whether it is Ready where that stands otherwise, as it was silent for too long."""
        patch = {"spec": {"holderIdentity": node, "renewTime": format_micro(now()), "leaseDurationSeconds": 40}}
        await self._try(lambda: self._client.patch(LEASE, node, patch, LEASES), self._beating)
        obj = self.nodes.get(node)
        if obj is not None and plan.is_ready(obj) != self._ready[node]:
            await self._tell(node)

    async def _turn(self, node: str) -> None:
        while True:
            obj = self.nodes.get(node)
            stage = plan.node_stage(obj, self._ready[node], self._stages.nodes) if obj is not None else None
            if stage is None:
                return
            await asyncio.sleep(stage.after + random.uniform(0, stage.jitter))
            self._ready[node] = stage.ready
            await self._tell(node)

    async def _tell(self, node: str) -> None:
        status = {"status": {"conditions": [plan.ready_condition(self._ready[node], format_time(now()))]}}
        await self._try(lambda: self._status(NODE, node, None, status), self._beating)

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        """What was declared unready with its node is Ready again with it."""
        if new is not None and plan.is_ready(new) and not (old is not None and plan.is_ready(old)):
            for pod in self.pods.by_index(BY_NODE, name(new)):
                self._on_pod(pod, pod)

    # Pods

    async def _deployment(self) -> Obj | None:
        """The Deployment of a simulation that is there. Conflict: what has its name is somebody else's."""
        try:
            found = await self._client.get(DEPLOYMENT, plan.PODS, plan.NAMESPACE)
        except errors.NotFound:
            return None
        if plan.LABEL not in labels(found):
            raise errors.Conflict(f"deployment {plan.NAMESPACE}/{plan.PODS} is there, and is not simulated")
        return found

    async def _deploy(self, pods: int) -> None:
        wanted = plan.deployment(pods)
        try:
            await self._client.create(DEPLOYMENT, wanted, plan.NAMESPACE)
        except errors.AlreadyExists:
            spec = {"spec": {"replicas": pods}}
            await self._client.patch(DEPLOYMENT, plan.PODS, spec, plan.NAMESPACE, patch_type=PatchType.MERGE)

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and (new is None or uid(new) != uid(old)):
            self._drop(uid(old))
        if new is None or _node_of(new) not in self._ready:
            return
        stage = plan.pod_stage(new, self._stages.pods)
        if stage is plan.RECOVERED and not plan.is_ready(self.nodes.get(_node_of(new)) or {}):
            stage = None
        known = self._moves.get(uid(new))
        if known is not None and known.get_name() == repr(stage):
            # It is on its way there already.
            return
        self._drop(uid(new))
        if stage is not None:
            self._moves[uid(new)] = asyncio.create_task(self._move(new, stage), name=repr(stage))

    def _drop(self, pod_uid: str) -> None:
        task = self._moves.pop(pod_uid, None)
        if task is not None and task not in self._writing:
            task.cancel()

    async def _move(self, pod: Obj, stage: PodStage) -> None:
        await asyncio.sleep(stage.after + random.uniform(0, stage.jitter))
        task = asyncio.current_task()
        assert task is not None
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        if stage.to == "Gone":
            await self._try(lambda: self._delete(pod))
            return
        patch = plan.pod_status(pod, stage, plan.address(next(self._addresses)), format_time(now()))
        patch["metadata"] = {"uid": uid(pod)}
        await self._try(lambda: self._status(POD, name(pod), namespace(pod), patch))

    async def _delete(self, pod: Obj) -> None:
        await self._client.delete(POD, name(pod), namespace(pod), grace_period=0, uid=uid(pod))

    async def _status(self, kind: Any, which: str, space: str | None, patch: Obj) -> None:
        await self._client.patch(kind, which, patch, space, subresource="status", patch_type=PatchType.STRATEGIC)

    async def _try(self, work: Callable[[], Awaitable[Any]], abreast: asyncio.Semaphore | None = None) -> None:
        """Do it, waiting for a server that is away; what is gone meanwhile needs nothing more."""
        while True:
            try:
                async with abreast or self._abreast:
                    await work()
                return
            except (errors.NotFound, errors.Conflict):
                return
            except errors.Unreachable:
                await self._client.reachable()
            except errors.ApiError as error:
                log.warning("simulation: %s", error)
                await asyncio.sleep(1.0)


def _node_of(pod: Obj) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")

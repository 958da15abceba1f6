"""Keeps each DaemonSet's pods on its nodes."""

from __future__ import annotations

import asyncio

from apimachinery import errors
from apimachinery.kinds import CONTROLLER_REVISION, DAEMON_SET, NODE, POD
from apimachinery.objects import Obj, is_deleting, key, labels, name, uid
from apimachinery.selectors import from_label_selector
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import ownership, revision_store
from controlplane.controllers.context import Context, generated_name, synced
from controlplane.controllers.daemonset import plan as planning
from controlplane.controllers.daemonset import revisions
from controlplane.controllers.expectations import DOUBT_AFTER, Expectations
from controlplane.controllers.pod_control import PodControl, from_template, watch_pods
from controlplane.controllers.replicaset.plan import BURST, Failure, batches
from controlplane.controllers.replicaset.plan import view as pod_view


class DaemonSetController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sets = context.informers.of(DAEMON_SET)
        self._pods = context.informers.of(POD)
        self._nodes = context.informers.of(NODE)
        self._revisions = context.informers.of(CONTROLLER_REVISION)
        self._queue: WorkQueue[str] = WorkQueue("daemonset", backoff_max=60.0)
        self._expected = Expectations(POD, self._pods)
        self._control = PodControl(context, self._expected)
        for informer in (self._pods, self._revisions):
            ownership.index_by_owner(informer)
        self._sets.add_handler(self._on_set)
        self._nodes.add_handler(self._on_node)
        self._pods.add_handler(watch_pods(self._expected, DAEMON_SET.kind, self._queue.add))

    async def run(self) -> None:
        await synced(self._sets, self._pods, self._nodes, self._revisions)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_set(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and (new is None or uid(old) != uid(new)):
            self._expected.forget(uid(old))
        self._queue.add(key(new or old or {}))

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and _placing(old) == _placing(new):
            return
        for daemon_set in self._sets.items():
            self._queue.add(key(daemon_set))

    async def _sync(self, item: str) -> None:
        daemon_set = self._sets.get(item)
        if daemon_set is None or not daemon_set["spec"].get("selector"):
            return
        client, owner = self._context.client, uid(daemon_set)
        selector = from_label_selector(daemon_set["spec"]["selector"])
        claims = ownership.claim(daemon_set, selector, ownership.candidates(self._pods, daemon_set))
        pods = await ownership.settle(client, DAEMON_SET, daemon_set, POD, claims)
        if is_deleting(daemon_set):
            return
        used = frozenset(labels(pod).get(planning.REVISION_HASH, "") for pod in pods)
        history = revisions.plan(daemon_set, self._revisions.by_index(ownership.CONTROLLER, owner), used)
        if not await self._keep_history(daemon_set, history):
            return
        if not self._expected.settled(owner):
            await self._expected.verify(owner, client)
            self._queue.add_after(item, DOUBT_AFTER)
        todo = planning.plan(daemon_set, pods, self._nodes.items(), history.digest, now())
        if self._expected.settled(owner):
            await self._carry_out(daemon_set, todo, history.digest)
        if todo.again_in is not None:
            self._queue.add_after(item, todo.again_in)
        if todo.status != (daemon_set.get("status") or {}):
            await self._write_status(daemon_set, todo.status)

    async def _carry_out(self, daemon_set: Obj, todo: planning.Plan, digest: str) -> None:
        for pod in todo.failed:
            node_name = planning.target(pod)
            text = f"Found failed daemon pod {key(pod)} on node {node_name}, will try to kill it"
            self._context.recorder.event(daemon_set, "Warning", "FailedDaemonPod", text)
        if todo.delete:
            await self._control.delete(daemon_set, tuple(pod_view(pod) for pod in todo.delete[:BURST]))
        missing = list(todo.create[:BURST])
        for size in batches(len(missing)):
            batch, missing = missing[:size], missing[size:]
            results = await asyncio.gather(*(self._create(daemon_set, node, digest) for node in batch))
            failure = next((f for f in results if f is not None and f.reason), None)
            if failure is not None:
                raise RuntimeError(f"{failure.reason}: {failure.message}")

    async def _create(self, daemon_set: Obj, node: str, digest: str) -> Failure | None:
        base = name(daemon_set) + "-"
        template = planning.pod_template(daemon_set, node, digest)
        pod = from_template(daemon_set, template, generated_name(base), base)
        return await self._control.create_one(daemon_set, pod)

    async def _keep_history(self, daemon_set: Obj, history: revisions.History) -> bool:
        """Write the present revision; False when its name belongs to another template."""

        def is_wanted(stored: Obj) -> bool:
            return revisions.plan(daemon_set, [stored], frozenset()).create is None

        if await revision_store.keep(self._context.client, history, is_wanted):
            return True
        status = dict(daemon_set.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        await self._write_status(daemon_set, status)
        return False

    async def _write_status(self, daemon_set: Obj, status: Obj) -> None:
        try:
            await self._context.client.update(DAEMON_SET, {**daemon_set, "status": status}, subresource="status")
        except errors.NotFound:
            return


def _placing(node: Obj) -> tuple[object, ...]:
    """What of a node decides whether daemons run there."""
    spec = node.get("spec") or {}
    return labels(node), spec.get("taints"), spec.get("unschedulable"), uid(node)

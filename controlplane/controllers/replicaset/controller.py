"""Keeps each ReplicaSet's pods at its number."""

from __future__ import annotations

import logging

from apimachinery import errors
from apimachinery.kinds import POD, REPLICA_SET
from apimachinery.objects import Obj, controller_of, is_deleting, key, labels, name, namespace, uid
from apimachinery.selectors import LabelSelector, from_label_selector
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import ownership, podstate
from controlplane.controllers.context import Context, synced
from controlplane.controllers.expectations import DOUBT_AFTER, Expectations
from controlplane.controllers.pods import PodControl, watch_pods
from controlplane.controllers.replicaset import plan as planning

log = logging.getLogger(__name__)


class ReplicaSetController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sets = context.informers.of(REPLICA_SET)
        self._pods = context.informers.of(POD)
        self._queue: WorkQueue[str] = WorkQueue("replicaset")
        self._expected = Expectations(POD, self._pods)
        self._control = PodControl(context, self._expected)
        ownership.index_by_owner(self._sets)
        ownership.index_by_owner(self._pods)
        self._sets.add_handler(self._on_set)
        self._pods.add_handler(watch_pods(self._expected, REPLICA_SET.kind, self._queue.add))
        self._pods.add_handler(self._on_orphan)

    async def run(self) -> None:
        await synced(self._sets, self._pods)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_set(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and (new is None or uid(old) != uid(new)):
            self._expected.forget(uid(old))
        self._queue.add(key(new or old or {}))

    def _on_orphan(self, old: Obj | None, new: Obj | None) -> None:
        """A pod without a controller: whoever selects it may adopt it."""
        if new is None or controller_of(new) is not None or is_deleting(new):
            return
        if old is not None and controller_of(old) is None and labels(old) == labels(new):
            return
        for replica_set in self._sets.items():
            if namespace(replica_set) == namespace(new) and _selector(replica_set).matches(labels(new)):
                self._queue.add(key(replica_set))

    async def _sync(self, item: str) -> None:
        replica_set = self._sets.get(item)
        if replica_set is None:
            return
        client, owner = self._context.client, uid(replica_set)
        claims = ownership.claim(replica_set, _selector(replica_set), ownership.candidates(self._pods, replica_set))
        pods = await ownership.settle(client, REPLICA_SET, replica_set, POD, claims)
        failure = None
        if not self._expected.settled(owner):
            await self._expected.verify(owner, client)
            self._queue.add_after(item, DOUBT_AFTER)
        if self._expected.settled(owner) and not is_deleting(replica_set):
            failure = await self._manage(replica_set, pods)
        await self._write_status(item, replica_set, pods, failure)
        if failure is not None and failure.reason:
            raise RuntimeError(f"{failure.reason}: {failure.message}")

    async def _manage(self, replica_set: Obj, pods: list[Obj]) -> planning.Failure | None:
        spec = replica_set["spec"]
        active = [pod for pod in pods if podstate.is_active(pod)]
        replicas = spec.get("replicas")
        views = planning.ranked(active, self._related(replica_set) if len(active) > (replicas or 0) else ())
        todo = planning.plan(1 if replicas is None else replicas, views, now())
        if todo.create:
            return await self._control.create(replica_set, spec.get("template") or {}, todo.create)
        return await self._control.delete(replica_set, todo.delete) if todo.delete else None

    def _related(self, replica_set: Obj) -> list[Obj]:
        """Pods of all sets that the same Deployment controls, or of this one alone."""
        reference = controller_of(replica_set)
        siblings = self._sets.by_index(ownership.CONTROLLER, reference["uid"]) if reference else [replica_set]
        return [pod for s in siblings for pod in self._pods.by_index(ownership.CONTROLLER, uid(s))]

    async def _write_status(
        self, item: str, replica_set: Obj, pods: list[Obj], failure: planning.Failure | None
    ) -> None:
        shown = failure if failure is not None and failure.reason else None
        status, later = planning.status(replica_set, pods, shown, now())
        if later is not None:
            self._queue.add_after(item, later)
        if status == (replica_set.get("status") or {}):
            return
        try:
            await self._context.client.update(REPLICA_SET, {**replica_set, "status": status}, subresource="status")
        except errors.NotFound:
            log.debug("%s went before its status was written", name(replica_set))


def _selector(replica_set: Obj) -> LabelSelector:
    return from_label_selector((replica_set.get("spec") or {}).get("selector"))

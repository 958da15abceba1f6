"""Keeps each ReplicaSet's pods at its number."""

from __future__ import annotations

from apimachinery.kinds import REPLICA_SET
from apimachinery.objects import Obj, controller_of, is_deleting, uid
from apimachinery.timestamps import now
from controlplane.controllers import ownership, pod_status
from controlplane.controllers.owner_loop import OwnerLoop
from controlplane.controllers.replicaset import plan as planning


class ReplicaSetController(OwnerLoop):
    """The loop."""

    kind = REPLICA_SET

    async def sync(self, item: str, owner: Obj, pods: list[Obj], settled: bool) -> None:
        failure = None
        if settled and not is_deleting(owner):
            failure = await self._manage(owner, pods)
        shown = failure if failure is not None and failure.reason else None
        status, later = self.status(owner, pods, shown)
        if later is not None:
            self._queue.add_after(item, later)
        await self._write_status(owner, status)
        if shown is not None:
            raise RuntimeError(f"{shown.reason}: {shown.message}")

    def status(self, owner: Obj, pods: list[Obj], failure: planning.Failure | None) -> tuple[Obj, float | None]:
        return planning.status(owner, pods, failure, now())

    async def _manage(self, replica_set: Obj, pods: list[Obj]) -> planning.Failure | None:
        spec = replica_set["spec"]
        active = [pod for pod in pods if pod_status.is_active(pod)]
        replicas = 1 if spec.get("replicas") is None else spec["replicas"]
        # Which is the best to delete is asked only where one has to go: to rank many costs most of a look at them.
        views = planning.ranked(active, self._related(replica_set)) if len(active) > replicas else ()
        todo = planning.plan(replicas - len(active), views, now())
        if todo.create:
            return await self._control.create(replica_set, spec.get("template") or {}, todo.create)
        return await self._control.delete(replica_set, todo.delete) if todo.delete else None

    def _related(self, replica_set: Obj) -> list[Obj]:
        """Pods of all sets that the same Deployment controls, or of this one alone."""
        reference = controller_of(replica_set)
        siblings = self._owners.by_index(ownership.CONTROLLER, reference["uid"]) if reference else [replica_set]
        return [pod for s in siblings for pod in self._pods.by_index(ownership.CONTROLLER, uid(s))]

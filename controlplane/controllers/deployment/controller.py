"""Carries out the plan of each Deployment."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.informer import Informer
from apimachinery.kinds import DEPLOYMENT, POD, REPLICA_SET
from apimachinery.objects import Obj, controller_of, is_deleting, key, name, namespace, uid
from apimachinery.timestamps import now
from controlplane.controllers import names, ownership, pod_status
from controlplane.controllers.context import Context
from controlplane.controllers.deployment import revisions, sizes
from controlplane.controllers.deployment.plan import Change, plan
from controlplane.controllers.owner_loop import ClaimingLoop


class DeploymentController(ClaimingLoop):
    """The loop."""

    kind = DEPLOYMENT
    owns = REPLICA_SET

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pods = context.informers.of(POD)
        # By uid of a ReplicaSet: the generation that our last write of it has.
        self._written: dict[str, int] = {}
        ownership.index_by_owner(self._pods)
        self._pods.add_handler(self._on_pod)

    def informers(self) -> tuple[Informer, ...]:
        return (*super().informers(), self._pods)

    def is_manageable(self, owner: Obj) -> bool:
        return bool(owner["spec"].get("selector"))

    def _on_owned(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._written.pop(uid(old), None)
        super()._on_owned(old, new)

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        """Recreate waits for the last old pod to go; nothing else looks at pods."""
        gone = new is None or pod_status.phase(new) in pod_status.FINAL
        pod = new or old or {}
        reference = controller_of(pod) if gone else None
        replica_set = self._owned.get(f"{namespace(pod)}/{reference['name']}") if reference else None
        owner = controller_of(replica_set) if replica_set else None
        if owner is not None:
            deployment = self._owners.get(f"{namespace(pod)}/{owner['name']}")
            if deployment is not None and not sizes.is_rolling(deployment):
                self._queue.add(key(deployment))

    async def look(self, item: str, owner: Obj, owned: list[Obj]) -> None:
        if any(self._is_stale(each) for each in owned):
            # An event of that very set will bring the Deployment back.
            return
        todo = plan(owner, owned, self._old_pods(owner, owned), now())
        if todo.create is not None and not await self._create(owner, todo.create):
            return
        for change in todo.updates:
            await self._update(owner, change)
        for replica_set in todo.deletes:
            await self._delete(replica_set)
        await self._write_back(owner, todo.revision, todo.status)
        if todo.again_in is not None:
            self._queue.add_after(item, todo.again_in + 1)

    def _is_stale(self, replica_set: Obj) -> bool:
        """Whether the cache is behind our own last write of the set."""
        written = self._written.get(uid(replica_set))
        generation = int(replica_set["metadata"].get("generation") or 0)
        if written is None or generation >= written:
            self._written.pop(uid(replica_set), None)
            return False
        return True

    def _old_pods(self, deployment: Obj, sets: list[Obj]) -> bool:
        if sizes.is_rolling(deployment):
            return False
        new = revisions.find_new(deployment, sets)
        return any(
            pod_status.phase(pod) not in pod_status.FINAL
            for s in sets
            if s is not new
            for pod in self._pods.by_index(ownership.CONTROLLER, uid(s))
        )

    async def _create(self, deployment: Obj, change: Change) -> bool:
        """Create the new set; False when its name is taken (the status counts another template there)."""
        client = self._context.client
        try:
            await client.create(REPLICA_SET, change.replica_set)
        except errors.AlreadyExists:
            other = await client.get(REPLICA_SET, name(change.replica_set), namespace(deployment))
            reference = controller_of(other)
            ours = reference is not None and reference.get("uid") == uid(deployment)
            if ours and revisions.find_new(deployment, [other]) is not None:
                return False
            status = dict(deployment.get("status") or {})
            status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
            await client.update(DEPLOYMENT, {**deployment, "status": status}, subresource="status")
            return False
        self._tell(deployment, change)
        return True

    async def _update(self, deployment: Obj, change: Change) -> None:
        written = await self._context.client.update(REPLICA_SET, change.replica_set)
        self._written[uid(written)] = int(written["metadata"].get("generation") or 0)
        self._tell(deployment, change)

    async def _delete(self, replica_set: Obj) -> None:
        try:
            await self._context.client.delete(
                REPLICA_SET, name(replica_set), namespace(replica_set), uid=uid(replica_set)
            )
        except errors.NotFound:
            return

    async def _write_back(self, deployment: Obj, revision: str | None, status: Obj | None) -> None:
        client = self._context.client
        if revision is not None and not is_deleting(deployment):
            old = deployment["metadata"]
            marked = {**(old.get("annotations") or {}), names.REVISION: revision}
            deployment = await client.update(DEPLOYMENT, {**deployment, "metadata": {**old, "annotations": marked}})
        if status is not None:
            await client.update(DEPLOYMENT, {**deployment, "status": status}, subresource="status")

    def _tell(self, deployment: Obj, change: Change) -> None:
        if change.event is not None:
            self._context.recorder.event(deployment, "Normal", change.event.reason, change.event.message)

"""Carries out the plan of each Deployment."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import DEPLOYMENT, POD, REPLICA_SET
from apimachinery.objects import Obj, controller_of, is_deleting, key, labels, name, namespace, uid
from apimachinery.selectors import LabelSelector, from_label_selector
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import names, ownership, pod_status
from controlplane.controllers.context import Context, synced
from controlplane.controllers.deployment import revisions, sizes
from controlplane.controllers.deployment.plan import Change, plan


class DeploymentController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._deployments = context.informers.of(DEPLOYMENT)
        self._sets = context.informers.of(REPLICA_SET)
        self._pods = context.informers.of(POD)
        self._queue: WorkQueue[str] = WorkQueue("deployment")
        self._written: dict[str, int] = {}
        ownership.index_by_owner(self._sets)
        ownership.index_by_owner(self._pods)
        self._deployments.add_handler(self._on_deployment)
        self._sets.add_handler(self._on_set)
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        await synced(self._deployments, self._sets, self._pods)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_deployment(self, old: Obj | None, new: Obj | None) -> None:
        self._queue.add(key(new or old or {}))

    def _on_set(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._written.pop(uid(old), None)
        for replica_set in (old, new):
            if replica_set is None:
                continue
            reference = controller_of(replica_set)
            if reference is not None and reference.get("kind") == DEPLOYMENT.kind:
                self._queue.add(f"{namespace(replica_set)}/{reference['name']}")
            elif reference is None and replica_set is new:
                self._offer(replica_set)

    def _offer(self, orphan: Obj) -> None:
        for deployment in self._deployments.items():
            if namespace(deployment) == namespace(orphan) and _selector(deployment).matches(labels(orphan)):
                self._queue.add(key(deployment))

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        """Recreate waits for the last old pod to go; nothing else looks at pods."""
        gone = new is None or pod_status.phase(new) in pod_status.FINAL
        pod = new or old or {}
        reference = controller_of(pod) if gone else None
        replica_set = self._sets.get(f"{namespace(pod)}/{reference['name']}") if reference else None
        owner = controller_of(replica_set) if replica_set else None
        if owner is not None:
            deployment = self._deployments.get(f"{namespace(pod)}/{owner['name']}")
            if deployment is not None and not sizes.is_rolling(deployment):
                self._queue.add(key(deployment))

    async def _sync(self, item: str) -> None:
        deployment = self._deployments.get(item)
        if deployment is None or not deployment["spec"].get("selector"):
            return
        claims = ownership.claim(deployment, _selector(deployment), ownership.candidates(self._sets, deployment))
        sets = await ownership.settle(self._context.client, DEPLOYMENT, deployment, REPLICA_SET, claims)
        if any(self._is_stale(s) for s in sets):
            # An event of that very set will bring the Deployment back.
            return
        todo = plan(deployment, sets, self._old_pods(deployment, sets), now())
        if todo.create is not None and not await self._create(deployment, todo.create):
            return
        for change in todo.updates:
            await self._update(deployment, change)
        for replica_set in todo.deletes:
            await self._delete(replica_set)
        await self._write_back(deployment, todo.revision, todo.status)
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


def _selector(deployment: Obj) -> LabelSelector:
    return from_label_selector(deployment["spec"].get("selector"))

"""Carries out the plan of each Job."""

from __future__ import annotations

import asyncio
from types import MappingProxyType

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import JOB, POD
from apimachinery.objects import Obj, controller_of, key, name, namespace, resource_version, uid
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, generated_name
from controlplane.controllers.job.backoff import Record
from controlplane.controllers.job.facts import FINALIZER, is_finished, is_ours, is_tracked
from controlplane.controllers.job.plan import Plan, plan
from controlplane.controllers.owner_loop import OwnerLoop
from controlplane.controllers.replicaset.plan import Failure, batches
from controlplane.controllers.replicaset.plan import view as pod_view


class JobController(OwnerLoop):
    """The loop, and beside it one that frees pods whose Job is gone or let them go."""

    kind = JOB
    backoff_max = 60.0
    adopted_with = MappingProxyType({"finalizers": [FINALIZER]})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._freed: WorkQueue[str] = WorkQueue("job pods", backoff_max=60.0)
        self._records: dict[str, Record] = {}
        # By uid the resourceVersion that the cache has to show before the Job is looked at again: its pods come by
        # another watch, and a pod whose finalizer went is counted by the newer status alone. "": an answer was lost.
        self._written: dict[str, str] = {}
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        await asyncio.gather(super().run(), self._freed.run_workers(1, self._free))

    def _on_owner(self, old: Obj | None, new: Obj | None) -> None:
        super()._on_owner(old, new)
        if old is None or (new is not None and uid(new) == uid(old)):
            return
        self._records.pop(uid(old), None)
        self._written.pop(uid(old), None)
        for pod in self._pods.items():
            if (controller_of(pod) or {}).get("uid") == uid(old):
                self._freed.add(key(pod))

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and is_tracked(new) and self._job_of(new) is None:
            self._freed.add(key(new))

    def _job_of(self, pod: Obj) -> Obj | None:
        """The Job that counts a pod."""
        reference = controller_of(pod)
        if reference is None or reference.get("kind") != JOB.kind:
            return None
        job = self._owners.get(f"{namespace(pod)}/{reference['name']}")
        return job if job is not None and uid(job) == reference["uid"] else None

    async def _free(self, item: str) -> None:
        pod = self._pods.get(item)
        if pod is None or not is_tracked(pod):
            return
        reference = controller_of(pod)
        if reference is not None and reference.get("kind") == JOB.kind:
            # The cache of Jobs may be behind that of pods.
            where = f"metadata.name={reference['name']}"
            found = (await self._context.client.list(JOB, namespace(pod), field_selector=where))["items"]
            if found and uid(found[0]) == reference["uid"]:
                return
        await self._untrack(pod)

    def is_manageable(self, owner: Obj) -> bool:
        return is_ours(owner) and not is_finished(owner)

    async def sync(self, item: str, owner: Obj, pods: list[Obj], settled: bool) -> None:
        if not await self._is_shown(item, owner):
            return
        todo = plan(owner, pods, self._records.get(uid(owner), Record()), settled, now())
        if todo.again_in is not None:
            self._queue.add_after(item, todo.again_in)
        await asyncio.gather(*(self._untrack(pod) for pod in todo.untracked))
        going = (*todo.untracked, *todo.delete)
        failure = await self._control.delete(owner, tuple(pod_view(pod) for pod in going)) if going else None
        if failure is not None:
            raise RuntimeError(f"{failure.reason}: {failure.message}")
        made, failure = await self._create(owner, todo)
        await self._note(owner, todo, made)
        self._records[uid(owner)] = todo.record
        await asyncio.gather(*(self._untrack(pod) for pod in todo.counted))
        if failure is not None and failure.reason:
            raise RuntimeError(f"{failure.reason}: {failure.message}")

    async def _is_shown(self, item: str, job: Obj) -> bool:
        """Whether the cache shows what was written last; if not, its watch brings the Job back."""
        awaited = self._written.get(uid(job))
        if awaited == "":
            stored = await self._context.client.get(JOB, name(job), namespace(job))
            awaited = self._written[uid(job)] = resource_version(stored)
        if awaited is not None and int(resource_version(job)) < int(awaited):
            return False
        self._written.pop(uid(job), None)
        return True

    async def _create(self, job: Obj, todo: Plan) -> tuple[int, Failure | None]:
        """Create pods in growing batches; how many came to be, and the failure after which no more were tried."""
        waiting, made = list(todo.create), 0
        for size in batches(len(waiting)):
            batch, waiting = waiting[:size], waiting[size:]
            for pod in batch:
                pod["metadata"]["name"] = generated_name(pod["metadata"]["generateName"])
            results = await asyncio.gather(*(self._control.create_one(job, pod) for pod in batch))
            failures = [failure for failure in results if failure is not None]
            made += size - len(failures)
            if failures:
                return made, failures[0]
        return made, None

    async def _note(self, job: Obj, todo: Plan, made: int) -> None:
        """Write the status, and only then tell of it."""
        status = {**todo.status, "active": int(todo.status.get("active") or 0) - len(todo.create) + made}
        if not status["active"]:
            del status["active"]
        if status == (job.get("status") or {}):
            return
        self._written[uid(job)] = ""
        try:
            stored = await self._context.client.update(JOB, {**job, "status": status}, subresource="status")
        except errors.ApiError:
            # Refused: nothing was written by this request.
            self._written.pop(uid(job), None)
            raise
        self._written[uid(job)] = resource_version(stored)
        for kind, reason, message in todo.events:
            self._context.recorder.event(job, kind, reason, message)

    async def _untrack(self, pod: Obj) -> None:
        if not is_tracked(pod):
            return
        patch = {"metadata": {"uid": uid(pod), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
        where = name(pod), patch, namespace(pod)
        try:
            await self._context.client.patch(POD, *where, patch_type=PatchType.STRATEGIC)
        except (errors.NotFound, errors.Conflict):
            # Gone, or another pod by now.
            return

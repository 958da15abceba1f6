"""Finished Jobs that are of no use any more: gone ttlSecondsAfterFinished after their end (KEP-592)."""

from __future__ import annotations

from datetime import datetime, timedelta

from apimachinery import errors
from apimachinery.kinds import JOB
from apimachinery.objects import Obj, is_deleting, key, name, namespace, uid
from apimachinery.timestamps import now, parse_time
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced


def expires_in(job: Obj, moment: datetime) -> float | None:
    """Seconds until a finished Job is to go; None where it is not finished, is going or may stay."""
    limit = job["spec"].get("ttlSecondsAfterFinished")
    if limit is None or is_deleting(job):
        return None
    conditions = (job.get("status") or {}).get("conditions") or ()
    ends = [c for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"]
    stamp = ends[0].get("lastTransitionTime") if ends else None
    if not stamp:
        return None
    return max((parse_time(stamp) + timedelta(seconds=int(limit)) - moment).total_seconds(), 0.0)


class JobTTLController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._jobs = context.informers.of(JOB)
        self._queue: WorkQueue[str] = WorkQueue("job ttl", backoff_max=60.0)
        self._jobs.add_handler(self._on_job)

    async def run(self) -> None:
        await synced(self._jobs)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_job(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and expires_in(new, now()) is not None:
            self._queue.add(key(new))

    async def _sync(self, item: str) -> None:
        job = self._jobs.get(item)
        if job is None:
            return
        wait = expires_in(job, now())
        if wait:
            self._queue.add_after(item, wait)
        if wait != 0:
            return
        client = self._context.client
        try:
            # The cache may not know yet that somebody gave it more time.
            fresh = await client.get(JOB, name(job), namespace(job))
            wait = expires_in(fresh, now())
            if uid(fresh) == uid(job) and wait == 0:
                await client.delete(JOB, name(job), namespace(job), uid=uid(job), propagation="Foreground")
        except errors.NotFound:
            return

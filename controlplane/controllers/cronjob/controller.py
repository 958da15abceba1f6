"""Carries out the plan of each CronJob."""

from __future__ import annotations

import os
from datetime import timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from apimachinery import errors
from apimachinery.kinds import CRON_JOB, JOB
from apimachinery.objects import Obj, controller_of, key, name, namespace, reference, uid
from apimachinery.timestamps import format_time, now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import ownership
from controlplane.controllers.context import Context, synced
from controlplane.controllers.cronjob import schedule
from controlplane.controllers.cronjob.plan import Plan, ended, plan
from controlplane.controllers.pod_control import is_namespace_going


def local_zone() -> tzinfo:
    """The zone of this machine, changes of its clocks included."""
    try:
        named = os.environ.get("TZ", "").lstrip(":")
        if named:
            return schedule.zone_of(named)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ValueError, OSError):
        return timezone.utc


class CronJobController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cron_jobs = context.informers.of(CRON_JOB)
        self._jobs = context.informers.of(JOB)
        self._queue: WorkQueue[str] = WorkQueue("cronjob", backoff_max=60.0)
        self._zone = local_zone()
        ownership.index_by_owner(self._jobs)
        self._cron_jobs.add_handler(self._on_cron_job)
        self._jobs.add_handler(self._on_job)

    async def run(self) -> None:
        await synced(self._cron_jobs, self._jobs)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_cron_job(self, old: Obj | None, new: Obj | None) -> None:
        self._queue.add(key(new or old or {}))

    def _on_job(self, old: Obj | None, new: Obj | None) -> None:
        for job in (old, new):
            owner = controller_of(job) if job is not None else None
            if job is not None and owner is not None and owner.get("kind") == CRON_JOB.kind:
                self._queue.add(f"{namespace(job)}/{owner['name']}")

    async def _sync(self, item: str) -> None:
        cron_job = self._cron_jobs.get(item)
        if cron_job is None:
            return
        cron_job, jobs = await self._seen(cron_job)
        todo = plan(cron_job, jobs, now(), self._zone)
        if todo.again_in is not None:
            self._queue.add_after(item, todo.again_in)
        for job in todo.delete:
            await self._delete(cron_job, job)
        status = todo.status
        if todo.create is not None and todo.scheduled is not None:
            made = await self._create(cron_job, todo)
            if made is not None:
                active = [*(status.get("active") or ()), _active(made)]
                status = {**status, "active": active, "lastScheduleTime": format_time(todo.scheduled)}
        if status != (cron_job.get("status") or {}):
            try:
                await self._context.client.update(CRON_JOB, {**cron_job, "status": status}, subresource="status")
            except errors.NotFound:
                return
        for kind, reason, message in todo.events:
            self._context.recorder.event(cron_job, kind, reason, message)
        for job in todo.surplus:
            await self._delete(cron_job, job)

    async def _seen(self, cron_job: Obj) -> tuple[Obj, list[Obj]]:
        """The CronJob and its Jobs. Where the caches tell different tales of what runs, the API server is asked."""
        jobs = {uid(job): job for job in self._jobs.by_index(ownership.CONTROLLER, uid(cron_job))}
        running = {own for own, job in jobs.items() if not ended(job)}
        if running - _active_ones(cron_job).keys():
            cron_job = await self._context.client.get(CRON_JOB, name(cron_job), namespace(cron_job))
        for own, ref in _active_ones(cron_job).items():
            if own in jobs:
                continue
            try:
                stored = await self._context.client.get(JOB, ref["name"], namespace(cron_job))
            except errors.NotFound:
                continue
            if uid(stored) == own:
                jobs[own] = stored
        return cron_job, list(jobs.values())

    async def _delete(self, cron_job: Obj, job: Obj) -> None:
        tell = self._context.recorder.event
        where = name(job), namespace(job)
        try:
            await self._context.client.delete(JOB, *where, uid=uid(job), propagation="Background")
        except errors.NotFound:
            return
        except errors.ApiError as error:
            tell(cron_job, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        tell(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {name(job)}")

    async def _create(self, cron_job: Obj, todo: Plan) -> Obj | None:
        """The Job of a time, made now or before; None where its name is another's."""
        assert todo.create is not None
        tell = self._context.recorder.event
        try:
            made = await self._context.client.create(JOB, todo.create)
        except errors.AlreadyExists:
            stored = await self._context.client.get(JOB, name(todo.create), namespace(cron_job))
            ours = (controller_of(stored) or {}).get("uid") == uid(cron_job)
            return stored if ours else None
        except errors.ApiError as error:
            if not is_namespace_going(error):
                tell(cron_job, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        tell(cron_job, "Normal", "SuccessfulCreate", f"Created job {name(made)}")
        return made


def _active_ones(cron_job: Obj) -> dict[str, Obj]:
    return {ref["uid"]: ref for ref in (cron_job.get("status") or {}).get("active") or ()}


def _active(job: Obj) -> Obj:
    return {key: value for key, value in reference({**job, "apiVersion": "batch/v1", "kind": "Job"}).items() if value}

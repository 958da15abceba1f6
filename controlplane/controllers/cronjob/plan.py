"""Which Job of a CronJob is due, which ones go, and what its status says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from email.utils import format_datetime

from apimachinery.objects import Obj, condition_holds, copy, is_deleting, name, namespace, owner_reference, uid
from apimachinery.timestamps import format_time, parse_time
from controlplane.controllers.cronjob import schedule
from controlplane.controllers.cronjob.schedule import Schedule

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
# A Job a moment after its time is better than a look a moment before it.
DELAY = 0.1
MANY = 100
Event = tuple[str, str, str]


@dataclass(frozen=True)
class Plan:
    """`create` the Job of `scheduled` after `delete` is done; the `status` does not name that Job yet.

    `surplus` goes when the status is written, which holds what those Jobs have to tell.
    """

    create: Obj | None = None
    scheduled: datetime | None = None
    delete: tuple[Obj, ...] = ()
    surplus: tuple[Obj, ...] = ()
    status: Obj = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    again_in: float | None = None


def ended(job: Obj) -> str:
    """Complete, Failed or "" """
    return next((kind for kind in ("Complete", "Failed") if condition_holds(job, kind)), "")


def plan(cron_job: Obj, jobs: Sequence[Obj], now: datetime, local: tzinfo) -> Plan:
    """`jobs`: those that the CronJob controls. `local`: the zone of a schedule that names none."""
    events: list[Event] = []
    status = _reconciled(cron_job, jobs, events)
    old = surplus(cron_job, jobs)
    gone = {uid(job) for job in old}
    status["active"] = [ref for ref in status["active"] if ref["uid"] not in gone]
    spec = cron_job["spec"]
    if is_deleting(cron_job) or spec.get("suspend"):
        return _done(status, events, old)
    try:
        times = schedule.parse(spec["schedule"], spec.get("timeZone"), local)
    except ValueError as error:
        if str(error).startswith("unknown time zone"):
            events.append(("Warning", "UnknownTimeZone", f'invalid timeZone: "{spec.get("timeZone")}": {error}'))
        else:
            text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
            events.append(("Warning", "UnparseableSchedule", text))
        return _done(status, events, old)
    due, missed, again = _coming(cron_job, times, now)
    if missed > MANY:
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        events.append(("Warning", "TooManyMissedTimes", text))
    if due is None or not _may_start(cron_job, status, due, now, events):
        return _done(status, events, old, again)
    going: tuple[Obj, ...] = ()
    if spec.get("concurrencyPolicy") == "Replace":
        running = {ref["uid"] for ref in status["active"]}
        going = tuple(job for job in jobs if uid(job) in running)
        status["active"] = []
    return Plan(_job(cron_job, due), due, going, tuple(old), _plain(status), tuple(events), again)


def _done(status: Obj, events: Sequence[Event], old: Sequence[Obj], again: float | None = None) -> Plan:
    return Plan(None, None, (), tuple(old), _plain(status), tuple(events), again)


def _plain(status: Obj) -> Obj:
    return {key: value for key, value in status.items() if value}


def _reconciled(cron_job: Obj, jobs: Sequence[Obj], events: list[Event]) -> Obj:
    """The status with Jobs that ended or went away taken off the active ones."""
    status = copy(cron_job.get("status") or {})
    active = list(status.get("active") or ())
    here = {uid(job): job for job in jobs}
    known = {ref["uid"] for ref in active}
    for job in jobs:
        if not ended(job) and uid(job) not in known:
            text = f"Saw a job that the controller did not create or forgot: {name(job)}"
            events.append(("Warning", "UnexpectedJob", text))
        if ended(job) and uid(job) in known:
            text = f"Saw completed job: {name(job)}, condition: {ended(job)}"
            events.append(("Normal", "SawCompletedJob", text))
        stamp = (job.get("status") or {}).get("completionTime") if ended(job) == "Complete" else None
        if stamp and stamp > status.get("lastSuccessfulTime", ""):
            status["lastSuccessfulTime"] = stamp
    for ref in active:
        if ref["uid"] not in here:
            events.append(("Normal", "MissingJob", f"Active job went missing: {ref['name']}"))
    status["active"] = [ref for ref in active if ref["uid"] in here and not ended(here[ref["uid"]])]
    return status


def surplus(cron_job: Obj, jobs: Sequence[Obj]) -> list[Obj]:
    """Ended Jobs beyond the limits of history, the oldest."""
    going: list[Obj] = []
    for kind, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        kept = cron_job["spec"].get(limit)
        here = sorted((j for j in jobs if ended(j) == kind and not is_deleting(j)), key=_started)
        if kept is not None:
            going += here[: max(len(here) - int(kept), 0)]
    return going


def _started(job: Obj) -> tuple[bool, str, str]:
    stamp = (job.get("status") or {}).get("startTime") or ""
    return not stamp, stamp, name(job)


def _coming(cron_job: Obj, times: Schedule, now: datetime) -> tuple[datetime | None, int, float | None]:
    """The latest time that is due, about how many came, and the seconds until the next."""
    status, deadline = cron_job.get("status") or {}, cron_job["spec"].get("startingDeadlineSeconds")
    since = parse_time(status.get("lastScheduleTime") or cron_job["metadata"]["creationTimestamp"])
    came, passed = latest(since, times, now)
    # From the last time that came, since an `@every` counts from there and not from now.
    following = times.after(came or (now if passed else since))
    again = None if following is None else (following - now).total_seconds() + DELAY
    if deadline is not None:
        came, passed = latest(max(since, now - timedelta(seconds=int(deadline))), times, now)
    return came, passed, again


def latest(earliest: datetime, times: Schedule, now: datetime) -> tuple[datetime | None, int]:
    """The latest time that came since `earliest`, and about how many came."""
    first = times.after(earliest)
    second = None if first is None else times.after(first)
    if first is None or now < first:
        return None, 0
    if second is None or now < second:
        return first, 1
    pace = max((second - first).total_seconds(), 1.0)
    missed = int((now - first).total_seconds() / pace) + 1
    # From the end, in steps of that pace from the first on, which is what keeps the beat of an `@every`. A schedule
    # whose pace is none (the minutes of one hour) may have no time so late: upstream starts nothing for it, either.
    moment, found = first + timedelta(seconds=(missed - 2) * pace), None
    while (following := times.after(moment)) is not None and following <= now:
        moment = found = following
    return found, missed


def _may_start(cron_job: Obj, status: Obj, due: datetime, now: datetime, events: list[Event]) -> bool:
    spec = cron_job["spec"]
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and due + timedelta(seconds=int(deadline)) < now:
        text = f"Missed scheduled time to start a job: {format_datetime(due.astimezone(timezone.utc))}"
        events.append(("Warning", "MissSchedule", text))
        return False
    if job_name(cron_job, due) in {ref["name"] for ref in status["active"]}:
        return False
    if status.get("lastScheduleTime") == format_time(due):
        return False
    if spec.get("concurrencyPolicy") == "Forbid" and status["active"]:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        events.append(("Normal", "JobAlreadyActive", text))
        return False
    return True


def job_name(cron_job: Obj, due: datetime) -> str:
    """One name for one time: it cannot be started twice."""
    return f"{name(cron_job)}-{int(due.timestamp()) // 60}"


def _job(cron_job: Obj, due: datetime) -> Obj:
    template = copy(cron_job["spec"]["jobTemplate"])
    meta = template.get("metadata") or {}
    zone = cron_job["spec"].get("timeZone")
    shown = due.astimezone(schedule.zone_of(zone) if zone else timezone.utc)
    stamp = shown.isoformat().replace("+00:00", "Z")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cron_job, due),
            "namespace": namespace(cron_job),
            "labels": dict(meta.get("labels") or {}),
            "annotations": {**(meta.get("annotations") or {}), SCHEDULED_AT: stamp},
            "ownerReferences": [owner_reference(cron_job)],
        },
        "spec": template["spec"],
    }

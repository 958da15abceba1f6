"""What happens next to a Job: pods to make, to take away and to count, and what its status says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from apimachinery.objects import Obj, copy, is_deleting, uid
from apimachinery.timestamps import format_time
from controlplane.controllers import pod_status
from controlplane.controllers.job import backoff, births, indexes, verdict
from controlplane.controllers.job.backoff import Record
from controlplane.controllers.job.facts import Facts, index_of, is_tracked
from controlplane.controllers.job.policies import matched
from controlplane.controllers.job.verdict import CRITERIA, Verdict

# uids that the status holds at most at one time (upstream's MaxUncountedPods).
MOST_UNCOUNTED = 500


@dataclass(frozen=True)
class Plan:
    """`untracked`: pods to take away that are not to be counted: their finalizer goes first. `delete`: pods that
    the end of the Job takes away. `create`: pods but for the end of their name. `status` is written after these and
    before the finalizers of `counted` go. `events`: (type, reason, message) once the status is written. `record`:
    the back-off from then on.
    """

    untracked: tuple[Obj, ...] = ()
    delete: tuple[Obj, ...] = ()
    create: tuple[Obj, ...] = ()
    counted: tuple[Obj, ...] = ()
    status: Obj = field(default_factory=dict)
    events: tuple[tuple[str, str, str], ...] = ()
    record: Record = field(default_factory=Record)
    again_in: float | None = None


def plan(job: Obj, pods: Sequence[Obj], record: Record, settled: bool, now: datetime) -> Plan:
    """`settled`: whether the cache shows all pods that were made and deleted; else none are now."""
    facts = Facts(job, pods)
    record = backoff.noted(record, facts.new_succeeded, facts.new_failed)
    over = verdict.reached(facts, now)
    again = None if over else verdict.overdue_in(facts, now)
    untracked: list[Obj] = []
    delete: list[Obj] = []
    create: list[Obj] = []
    if over is not None:
        delete = facts.active
        # Not before the cache shows every pod: one may be on its way that nobody counts then.
        over = over if settled else None
    elif settled and not is_deleting(job):
        untracked = births.surplus(facts, max(len(facts.active) - births.wanted(facts), 0), now)
        if not untracked:
            create, later = births.due(facts, record, now)
            again = min((t for t in (again, later) if t is not None), default=None)
        over = verdict.completed(facts, len(facts.active) + len(create) - len(untracked))
    elif not is_deleting(job):
        over = verdict.completed(facts, len(facts.active))
    going = [*untracked, *delete]
    ready = sum(map(pod_status.is_ready, facts.active)) - sum(map(pod_status.is_ready, going))
    writer = _Writer(facts, over, now)
    writer.numbers(len(facts.active) + len(create) - len(going), ready, len(facts.terminating) + len(going))
    if settled and not delete:
        writer.suspension()
    counted = writer.count()
    if over is not None:
        writer.conclude(over, len(going))
    return Plan(
        tuple(untracked),
        tuple(delete),
        tuple(create),
        tuple(counted),
        writer.status,
        tuple(writer.events),
        record,
        again,
    )


class _Writer:
    """Builds the next status from the one before."""

    def __init__(self, facts: Facts, over: Verdict | None, now: datetime) -> None:
        self._facts, self._over, self._now = facts, over, now
        self.status: Obj = copy(facts.status)
        self.events: list[tuple[str, str, str]] = []
        self._uncounted = {outcome: list(uids) for outcome, uids in self._noted().items()}
        if "startTime" not in self.status and not facts.is_suspended:
            self.status["startTime"] = format_time(now)

    def _noted(self) -> dict[str, list[str]]:
        noted = self.status.get("uncountedTerminatedPods") or {}
        return {outcome: list(noted.get(outcome) or ()) for outcome in ("succeeded", "failed")}

    def numbers(self, active: int, ready: int, terminating: int) -> None:
        self.status.pop("active", None)
        if active:
            self.status["active"] = active
        self.status |= {"ready": ready, "terminating": terminating}

    def suspension(self) -> None:
        suspended = self._facts.is_suspended
        word = "suspended" if suspended else "resumed"
        reason = f"Job{word.capitalize()}"
        old = next((c for c in self.status.get("conditions") or () if c["type"] == "Suspended"), None)
        status = "True" if suspended else "False"
        if (old is None and not suspended) or self._over is not None:
            return
        if old is not None and old["status"] == status:
            return
        self._condition("Suspended", status, reason, f"Job {word}")
        self.events.append(("Normal", word.capitalize(), f"Job {word}"))
        if not suspended:
            self.status["startTime"] = format_time(self._now)

    def count(self) -> list[Obj]:
        """Note ended pods, turn those without a finalizer into numbers; answers whose finalizer may go."""
        facts = self._facts
        tracked = {uid(pod) for pod in facts.pods if is_tracked(pod)}
        for outcome, uids in self._uncounted.items():
            done = [u for u in uids if u not in tracked]
            if done:
                self.status[outcome] = int(self.status.get(outcome) or 0) + len(done)
            self._uncounted[outcome] = [u for u in uids if u in tracked]
        counted: list[Obj] = []
        fresh: list[int] = []
        for pod in sorted(facts.pods, key=lambda p: (index_of(p) or 0, p["metadata"].get("creationTimestamp") or "")):
            if not is_tracked(pod) or not self._may_go(pod):
                continue
            if len(fresh) + sum(map(len, self._uncounted.values())) >= MOST_UNCOUNTED:
                break
            counted.append(pod)
            index = self._noted_as(pod)
            if index is not None:
                fresh.append(index)
        if facts.is_indexed:
            completed = facts.noted_indexes | indexes.of(fresh)
            self._text("completedIndexes", str(completed))
            self.status.pop("succeeded", None)
            if len(completed):
                self.status["succeeded"] = len(completed)
            if facts.failed_indexes is not None:
                self.status["failedIndexes"] = str(facts.failed_indexes)
        self.status["uncountedTerminatedPods"] = {k: uids for k, uids in self._uncounted.items() if uids}
        return counted

    def conclude(self, over: Verdict, going: int) -> None:
        """The condition that tells what comes, and the last one when every pod has gone and is counted."""
        if not any(c["type"] == over.kind and c["status"] == "True" for c in self.status.get("conditions") or ()):
            self._condition(over.kind, "True", over.reason, over.message)
        left = going or self.status["terminating"] or any(self._uncounted.values())
        if left or any(is_tracked(pod) for pod in self._facts.pods):
            return
        self._condition(over.final, "True", over.reason, over.message)
        if over.kind != CRITERIA:
            self.events.append(("Warning", over.reason, over.message))
            return
        self.status["completionTime"] = format_time(self._now)
        asked = self._facts.completions
        if asked is not None and int(self.status.get("succeeded") or 0) > asked:
            text = "Too many succeeded pods running after completion count reached"
            self.events.append(("Warning", "TooManySucceededPods", text))
        self.events.append(("Normal", "Completed", "Job completed"))

    def _may_go(self, pod: Obj) -> bool:
        facts = self._facts
        if is_deleting(facts.job) or self._over is not None or pod_status.phase(pod) == "Succeeded":
            return True
        waits = facts.waiting.get(index_of(pod) or 0) if facts.is_indexed else None
        return facts.has_failed(pod) and (waits is None or uid(waits) != uid(pod))

    def _noted_as(self, pod: Obj) -> int | None:
        """Write a pod's end down; an index that is new among the completed ones is answered."""
        facts, own = self._facts, uid(pod)
        ended_badly = facts.has_failed(pod) or (self._over is not None and self._over.kind != CRITERIA)
        if not facts.counts(pod) or own in self._uncounted["failed"]:
            return None
        if pod_status.phase(pod) == "Succeeded":
            if facts.is_indexed:
                return index_of(pod)
            if own not in self._uncounted["succeeded"]:
                self._uncounted["succeeded"].append(own)
        elif ended_badly and matched(facts.job, pod).counts:
            self._uncounted["failed"].append(own)
        return None

    def _text(self, key: str, text: str) -> None:
        self.status.pop(key, None)
        if text:
            self.status[key] = text

    def _condition(self, kind: str, status: str, reason: str, message: str) -> None:
        stamp = format_time(self._now)
        others = [c for c in self.status.get("conditions") or () if c["type"] != kind]
        fresh = {"type": kind, "status": status, "lastProbeTime": stamp, "lastTransitionTime": stamp}
        self.status["conditions"] = [*others, {**fresh, "reason": reason, "message": message}]

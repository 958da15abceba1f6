"""Whether a Job is over, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from apimachinery.objects import Obj, condition
from apimachinery.timestamps import parse_time
from controlplane.controllers import pod_status
from controlplane.controllers.job import policies
from controlplane.controllers.job.facts import Facts

CRITERIA, TARGET = "SuccessCriteriaMet", "FailureTarget"


@dataclass(frozen=True)
class Verdict:
    """`kind`: the condition that comes before the last one, SuccessCriteriaMet or FailureTarget."""

    kind: str
    reason: str
    message: str

    @property
    def final(self) -> str:
        return "Complete" if self.kind == CRITERIA else "Failed"


def reached(facts: Facts, now: datetime) -> Verdict | None:
    """Why no more pods are to run: what was decided before stays, then failures, then successPolicy."""
    for kind in (CRITERIA, TARGET):
        found = condition(facts.job, kind)
        if found is not None and found.get("status") == "True":
            return Verdict(kind, found.get("reason") or "", found.get("message") or "")
    return _failed(facts, now) or _satisfied(facts)


def completed(facts: Facts, active: int) -> Verdict | None:
    """The plain end: as many successes as asked for, and nobody at work."""
    enough = facts.succeeded > 0 if facts.completions is None else facts.succeeded >= facts.completions
    if not enough or active:
        return None
    return Verdict(CRITERIA, "CompletionsReached", "Reached expected number of succeeded pods")


def overdue_in(facts: Facts, now: datetime) -> float | None:
    """Seconds until activeDeadlineSeconds is over; None where no deadline runs."""
    limit, start = facts.job["spec"].get("activeDeadlineSeconds"), facts.status.get("startTime")
    if limit is None or facts.is_suspended:
        return None
    since = parse_time(start) if start else now
    return max((since + timedelta(seconds=int(limit)) - now).total_seconds(), 0.0)


def _failed(facts: Facts, now: datetime) -> Verdict | None:
    spec = facts.job["spec"]
    for pod in facts.pods if spec.get("podFailurePolicy") else ():
        match = policies.matched(facts.job, pod) if facts.has_failed(pod) else policies.Match()
        if match.action == "FailJob":
            return Verdict(TARGET, "PodFailurePolicy", match.message)
    if facts.failed > int(spec.get("backoffLimit", 6)) or _restarts_too_often(facts):
        return Verdict(TARGET, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if facts.status.get("startTime") and overdue_in(facts, now) == 0:
        return Verdict(TARGET, "DeadlineExceeded", "Job was active longer than specified deadline")
    given_up = facts.failed_indexes
    if given_up is None or not len(given_up):
        return None
    limit = spec.get("maxFailedIndexes")
    if limit is not None and len(given_up) > int(limit):
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict(TARGET, "MaxFailedIndexesExceeded", text)
    if len(given_up) + len(facts.succeeded_indexes) >= (facts.completions or 0):
        return Verdict(TARGET, "FailedIndexes", "Job has failed indexes")
    return None


def _satisfied(facts: Facts) -> Verdict | None:
    message = policies.success(facts.job, facts.succeeded_indexes) if facts.is_indexed else None
    return None if message is None else Verdict(CRITERIA, "SuccessPolicy", message)


def _restarts_too_often(facts: Facts) -> bool:
    """With restartPolicy OnFailure the restarts of containers count as failures."""
    spec = facts.job["spec"]
    if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(_restarts(pod) for pod in facts.pods if pod_status.phase(pod) in ("Running", "Pending"))
    return restarts >= max(int(spec.get("backoffLimit", 6)), 1)


def _restarts(pod: Obj) -> int:
    status = pod.get("status") or {}
    every = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return sum(int(container.get("restartCount") or 0) for container in every)

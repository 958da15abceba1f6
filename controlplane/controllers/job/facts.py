"""What a Job and its pods say, read once for a plan. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from apimachinery import objects
from apimachinery.objects import Obj, is_deleting, uid
from controlplane.controllers import pod_status
from controlplane.controllers.job import backoff, indexes, policies
from controlplane.controllers.job.indexes import Indexes

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
MANAGER = "kubernetes.io/job-controller"


def is_tracked(pod: Obj) -> bool:
    """Whether a pod is still to be counted."""
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def is_finished(job: Obj) -> bool:
    return any(objects.condition_holds(job, kind) for kind in ("Complete", "Failed"))


def is_ours(job: Obj) -> bool:
    """Whether spec.managedBy leaves the Job to this loop."""
    manager: str | None = job["spec"].get("managedBy")
    return manager in (None, MANAGER)


def index_of(pod: Obj) -> int | None:
    text = objects.annotations(pod).get(INDEX, "")
    return int(text) if text.isdecimal() and text.isascii() else None


def failures_of(pod: Obj, annotation: str = FAILURES) -> int:
    """How often the index of a pod failed before it."""
    text = objects.annotations(pod).get(annotation, "")
    return int(text) if text.isdecimal() and text.isascii() else 0


@dataclass(frozen=True)
class Facts:
    """`pods`: all that the Job owns."""

    job: Obj
    pods: Sequence[Obj]

    @cached_property
    def status(self) -> Obj:
        return self.job.get("status") or {}

    @cached_property
    def is_indexed(self) -> bool:
        return bool(self.job["spec"].get("completionMode") == "Indexed")

    @cached_property
    def is_suspended(self) -> bool:
        return bool(self.job["spec"].get("suspend"))

    @cached_property
    def per_index(self) -> int | None:
        """backoffLimitPerIndex."""
        value = self.job["spec"].get("backoffLimitPerIndex")
        return None if value is None else int(value)

    @cached_property
    def completions(self) -> int | None:
        value = self.job["spec"].get("completions")
        return None if value is None else int(value)

    @cached_property
    def replaces_only_failed(self) -> bool:
        """podReplacementPolicy Failed: a pod that is on its way out is neither failed nor replaced before it ended."""
        spec = self.job["spec"]
        return bool(spec.get("podReplacementPolicy") == "Failed" or spec.get("podFailurePolicy") is not None)

    @cached_property
    def active(self) -> list[Obj]:
        return [pod for pod in self.pods if pod_status.is_active(pod)]

    @cached_property
    def terminating(self) -> list[Obj]:
        return [pod for pod in self.pods if is_deleting(pod) and pod_status.phase(pod) not in pod_status.FINAL]

    @cached_property
    def uncounted(self) -> dict[str, frozenset[str]]:
        """uids by `succeeded` and `failed` that the status names but no number holds yet."""
        noted = self.status.get("uncountedTerminatedPods") or {}
        return {outcome: frozenset(noted.get(outcome) or ()) for outcome in ("succeeded", "failed")}

    def has_failed(self, pod: Obj) -> bool:
        if pod_status.phase(pod) == "Failed":
            return True
        return not self.replaces_only_failed and is_deleting(pod) and pod_status.phase(pod) != "Succeeded"

    def counts(self, pod: Obj) -> bool:
        """Whether an ended pod is one of those that the Job asked for."""
        if not self.is_indexed:
            return True
        index = index_of(pod)
        return index is not None and index < (self.completions or 0)

    @cached_property
    def new_succeeded(self) -> list[Obj]:
        """Pods that succeeded and are in no count of the status yet."""
        noted = self.uncounted["succeeded"]
        fresh = (p for p in self.pods if is_tracked(p) and uid(p) not in noted and self.counts(p))
        return [p for p in fresh if pod_status.phase(p) == "Succeeded"]

    @cached_property
    def new_failed(self) -> list[Obj]:
        noted = self.uncounted["failed"]
        fresh = (p for p in self.pods if is_tracked(p) and uid(p) not in noted and self.counts(p))
        return [p for p in fresh if self.has_failed(p)]

    @cached_property
    def failed(self) -> int:
        """Failures that count, those of just now as well."""
        fresh = sum(policies.matched(self.job, pod).counts for pod in self.new_failed)
        return int(self.status.get("failed") or 0) + len(self.uncounted["failed"]) + fresh

    @cached_property
    def noted_indexes(self) -> Indexes:
        return indexes.parse(self.status.get("completedIndexes") or "", self.completions or 0)

    @cached_property
    def succeeded_indexes(self) -> Indexes:
        ended = (p for p in self.pods if is_tracked(p) and self.counts(p) and pod_status.phase(p) == "Succeeded")
        return self.noted_indexes | indexes.of(index_of(p) or 0 for p in ended)

    @cached_property
    def failed_indexes(self) -> Indexes | None:
        """Indexes given up; None without backoffLimitPerIndex."""
        if self.per_index is None or not self.is_indexed:
            return None
        given_up = (p for p in self.pods if is_tracked(p) and self.counts(p) and self._gives_up(p, self.per_index))
        noted = indexes.parse(self.status.get("failedIndexes") or "", self.completions or 0)
        return noted | indexes.of(index_of(p) or 0 for p in given_up)

    def _gives_up(self, pod: Obj, limit: int) -> bool:
        if not self.has_failed(pod):
            return False
        match = policies.matched(self.job, pod)
        return match.action == "FailIndex" or (match.counts and failures_of(pod) >= limit)

    @cached_property
    def succeeded(self) -> int:
        if self.is_indexed:
            return len(self.succeeded_indexes)
        noted = int(self.status.get("succeeded") or 0) + len(self.uncounted["succeeded"])
        return noted + len(self.new_succeeded)

    @cached_property
    def waiting(self) -> dict[int, Obj]:
        """By index the failed pod that stays, finalizer and all, until its successor is there: it holds the count of
        failures.
        """
        if self.failed_indexes is None:
            return {}
        over = self.succeeded_indexes | self.failed_indexes | indexes.of(index_of(p) or 0 for p in self.active)
        latest: dict[int, Obj] = {}
        for pod in self.pods:
            index = index_of(pod)
            if (
                not is_tracked(pod)
                or not self.counts(pod)
                or index is None
                or index in over
                or not self.has_failed(pod)
            ):
                continue
            if index not in latest or _order(latest[index]) <= _order(pod):
                latest[index] = pod
        return latest


def _order(pod: Obj) -> tuple[int, float]:
    return failures_of(pod) + failures_of(pod, IGNORED), backoff.finished_at(pod).timestamp()

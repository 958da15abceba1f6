"""What whoever runs a Job may say of it: it ends once, in one way, with what that asks for.

What is asked of a part of the status is asked of changes of that part alone, so that a status that is not as it should
be can be mended step by step.
"""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.batch import indexes
from controlplane.apiserver.rules.batch.jobs import indexed, is_true
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.words import hook, not_negative

_CONDITIONS = "status.conditions"


class _Change:
    """A status before and after."""

    def __init__(self, job: Obj, before: Obj) -> None:
        self.spec: Obj = job["spec"]
        self.now: Obj = job.get("status") or {}
        self.was: Obj = before.get("status") or {}

    def of(self, *fields: str) -> bool:
        """Whether one of these fields changed; a count that is absent is zero but where upstream tells them apart."""
        return any(self.now.get(field) != self.was.get(field) for field in fields)

    def to(self, *conditions: str) -> bool:
        """Whether one of these conditions came or went."""
        return any(is_true(self.now, one) != is_true(self.was, one) for one in conditions)

    @property
    def finished(self) -> bool:
        return _finished(self.now)

    @property
    def ends(self) -> bool:
        """Whether the Job is finished now and was not, or the other way around."""
        return self.finished != _finished(self.was)


def _finished(status: Obj) -> bool:
    return is_true(status, "Complete") or is_true(status, "Failed")


def _uncounted(pods: Obj, at: Place) -> Iterator[FieldError]:
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(field) or ()):
            where = f"{at.to(field)}[{index}]"
            if not uid:
                yield errors.invalid(where, uid, "must not be empty")
            elif uid in seen:
                yield errors.duplicate(where, uid)
            seen.add(uid)


def _state(job: Obj, at: Place) -> Iterator[FieldError]:
    it = _Change(job, at.old or {})
    yield from _ends(it)
    yield from _finish(it)
    yield from _lists(it)
    if it.of("terminating") or it.ends:
        count = it.now.get("terminating") or 0
        if count > 0 and it.finished:
            yield errors.invalid("status.terminating", count, "terminating>0 is invalid for finished job")
    if it.of("ready", "active"):
        ready = it.now.get("ready")
        if ready is not None and ready > (it.now.get("active") or 0):
            yield errors.invalid("status.ready", ready, "cannot set more ready pods than active")
    yield from _success(it)


def _ends(it: _Change) -> Iterator[FieldError]:
    """In which way, and when."""
    complete, failed = is_true(it.now, "Complete"), is_true(it.now, "Failed")
    begun, ended = it.now.get("startTime"), it.now.get("completionTime")
    if it.to("Complete", "Failed") and complete and failed:
        yield errors.invalid_whole(_CONDITIONS, "cannot set Complete=True and Failed=true conditions")
    if it.to("Complete", "FailureTarget") and complete and is_true(it.now, "FailureTarget"):
        yield errors.invalid_whole(_CONDITIONS, "cannot set Complete=True and FailureTarget=true conditions")
    if it.to("Complete") or it.of("completionTime"):
        if ended is not None and not complete:
            text = "cannot set completionTime when there is no Complete=True condition"
            yield errors.invalid("status.completionTime", ended, text)
        if ended is None and complete:
            yield errors.required("status.completionTime", "completionTime is required for Complete jobs")
    if it.of("startTime", "completionTime") and begun is not None and ended is not None and ended < begun:
        yield errors.invalid("status.completionTime", ended, "must be equal to or after `startTime`")
    if (it.to("Failed") or it.of("failedIndexes")) and failed and not is_true(it.now, "FailureTarget"):
        text = "cannot set Failed=True condition without the FailureTarget=true condition"
        yield errors.invalid_whole(_CONDITIONS, text)
    if it.to("Complete", "SuccessCriteriaMet") and complete and not is_true(it.now, "SuccessCriteriaMet"):
        text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        yield errors.invalid_whole(_CONDITIONS, text)


def _finish(it: _Change) -> Iterator[FieldError]:
    """What a finished Job has, and has no more."""
    if not it.finished:
        return
    active, uncounted = it.now.get("active") or 0, it.now.get("uncountedTerminatedPods") or {}
    if (it.of("active") or it.ends) and active > 0:
        yield errors.invalid("status.active", active, "active>0 is invalid for finished job")
    never_began = bool(it.spec.get("suspend")) and it.spec.get("completions") == 0
    if (it.of("startTime") or it.ends) and not never_began and it.now.get("startTime") is None:
        yield errors.required("status.startTime", "startTime is required for finished job")
    if (it.of("uncountedTerminatedPods") or it.ends) and (uncounted.get("failed") or uncounted.get("succeeded")):
        shown = struct("batch.v1.UncountedTerminatedPods", uncounted)
        yield errors.invalid("status.uncountedTerminatedPods", shown, "must be empty for finished job")


def _lists(it: _Change) -> Iterator[FieldError]:
    """Indexes that are through, in one way or the other."""
    completions = it.spec.get("completions")
    done, failed = it.now.get("completedIndexes") or "", it.now.get("failedIndexes")
    limited = it.spec.get("backoffLimitPerIndex") is not None
    if it.of("completedIndexes") and completions is not None:
        _, wrong = indexes.count(done, completions)
        if wrong:
            yield errors.invalid("status.completedIndexes", done, f"error parsing completedIndexes: {wrong}")
    if it.of("failedIndexes") and completions is not None and limited and failed is not None:
        _, wrong = indexes.count(failed, completions)
        if wrong:
            yield errors.invalid("status.failedIndexes", failed, f"error parsing failedIndexes: {wrong}")
    if it.of("completedIndexes") and done and it.spec.get("completionMode") != "Indexed":
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield errors.invalid("status.completedIndexes", done, text)
    if it.of("failedIndexes") and failed is not None and not limited:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield errors.invalid("status.failedIndexes", failed, text)
    if it.of("completedIndexes", "failedIndexes") and completions is not None and failed is not None:
        both = indexes.shared(done, failed, completions)
        if both is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {both}"
            yield errors.invalid("status.failedIndexes", failed, text)


def _success(it: _Change) -> Iterator[FieldError]:
    met = is_true(it.now, "SuccessCriteriaMet")
    if met and is_true(it.now, "Failed"):
        yield errors.invalid_whole(_CONDITIONS, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if met and is_true(it.now, "FailureTarget"):
        yield errors.invalid_whole(_CONDITIONS, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if it.spec.get("successPolicy") is not None and not met and is_true(it.now, "Complete"):
        text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        yield errors.invalid_whole(_CONDITIONS, text)


def _steps(job: Obj, at: Place) -> Iterator[FieldError]:
    """What there was that cannot be taken back."""
    it = _Change(job, at.old or {})
    for condition in ("Failed", "Complete", "FailureTarget"):
        if is_true(it.was, condition) and not is_true(it.now, condition):
            yield errors.invalid_whole(_CONDITIONS, f"cannot disable the terminal {condition}=True condition")
    grows = indexed(it.spec, at) and it.spec.get("completions") == it.spec.get("parallelism")
    for field in ("failed",) if grows else ("failed", "succeeded"):
        count = it.now.get(field) or 0
        if count < (it.was.get(field) or 0):
            yield errors.invalid(f"status.{field}", count, f"cannot decrease the {field} counter")
    ended, begun = (it.was.get(field) for field in ("completionTime", "startTime"))
    if ended is not None and it.now.get("completionTime") not in (None, ended):
        yield errors.immutable("status.completionTime", it.now["completionTime"])
    if begun is not None and it.of("startTime") and not _resumes(it) and not it.spec.get("suspend"):
        text = "field is immutable for unsuspended job once set"
        yield errors.invalid("status.startTime", it.now.get("startTime"), text)
    met, was_met = is_true(it.now, "SuccessCriteriaMet"), is_true(it.was, "SuccessCriteriaMet")
    if was_met and not met:
        yield errors.invalid_whole(_CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition")
    if is_true(it.was, "Complete") and not was_met and met:
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield errors.invalid_whole(_CONDITIONS, text)


def _resumes(it: _Change) -> bool:
    listed = it.now.get("conditions") or ()
    runs = any(one.get("type") == "Suspended" and one.get("status") == "False" for one in listed)
    return runs and is_true(it.was, "Suspended")


RULES: dict[str, Row] = {
    "batch.v1.Job/status": (inside("status", always=True), hook(_state), hook(_steps)),
    "batch.v1.JobStatus": (
        not_negative("active", "succeeded", "failed", "ready", "terminating"),
        "uncountedTerminatedPods",
    ),
    "batch.v1.UncountedTerminatedPods": (hook(_uncounted),),
}

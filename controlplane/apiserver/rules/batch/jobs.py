"""Jobs: what they are like, and what of them may change."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats, selectors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules import values
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row, exists
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.words import changed, enum, hook, longest, not_negative, required, when
from controlplane.apiserver.rules.workloads import labels_of, selects, usable

_UID, _NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_INDEXED_MOST = 100_000
# Above so many completions, Jobs with a limit for each index are kept small.
_MANY, _MANY_MOST = 100_000, 10_000
_STANDING = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
_STRUCTS = {
    "selector": "meta.v1.LabelSelector",
    "podFailurePolicy": "batch.v1.PodFailurePolicy",
    "successPolicy": "batch.v1.SuccessPolicy",
}
# Where a waiting Job's pods go may still change.
_SCHEDULING = ("nodeSelector", "tolerations", "schedulingGates")


def indexed(spec: Obj, at: Place) -> bool:
    return spec.get("completionMode") == "Indexed"


# --- the spec, also of a CronJob's template ---


def _limited(spec: Obj, at: Place) -> Iterator[FieldError]:
    if spec["maxFailedIndexes"] is not None and spec.get("backoffLimitPerIndex") is None:
        yield errors.required(at.to("backoffLimitPerIndex"), "when maxFailedIndexes is specified")


def _indexes(spec: Obj, at: Place) -> Iterator[FieldError]:
    completions, failed, width = spec.get("completions"), spec.get("maxFailedIndexes"), spec.get("parallelism") or 0
    if completions is None:
        yield errors.required(at.to("completions"), "when completion mode is Indexed")
    if width > _INDEXED_MOST:
        text = f"must be less than or equal to {_INDEXED_MOST} when completion mode is Indexed"
        yield errors.invalid(at.to("parallelism"), width, text)
    if completions is not None and failed is not None and failed > completions:
        yield errors.invalid(at.to("maxFailedIndexes"), failed, "must be less than or equal to completions")
    if failed is not None and failed > _INDEXED_MOST:
        yield errors.invalid(at.to("maxFailedIndexes"), failed, f"must be less than or equal to {_INDEXED_MOST}")
    if (completions or 0) <= _MANY or spec.get("backoffLimitPerIndex") is None:
        return
    most = f"must be less than or equal to {_MANY_MOST} when completions are above {_MANY} and used with backoff limit"
    if failed is None:
        text = f"must be specified when completions is above {_MANY}"
        yield errors.required(at.to("maxFailedIndexes"), text)
    if width > _MANY_MOST:
        yield errors.invalid(at.to("parallelism"), width, f"{most} per index")
    if failed is not None and failed > _MANY_MOST:
        yield errors.invalid(at.to("maxFailedIndexes"), failed, f"{most} per index")


def _manager(spec: Obj, at: Place) -> list[FieldError]:
    return [] if spec["managedBy"] is None else values.domain_path(at.to("managedBy"), spec["managedBy"])


def _no_indexes(spec: Obj, at: Place) -> Iterator[FieldError]:
    if spec.get("completionMode") not in (None, "NonIndexed"):
        return
    for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if spec.get(field) is not None:
            yield errors.invalid(at.to(field), spec[field], "requires indexed completion mode")


def _early(spec: Obj, at: Place) -> Iterator[FieldError]:
    if spec["successPolicy"] is not None and not indexed(spec, at):
        shown = struct("batch.v1.SuccessPolicy", spec["successPolicy"])
        yield errors.invalid(at.to("successPolicy"), shown, "requires indexed completion mode")


def _replacement(spec: Obj, at: Place) -> list[FieldError]:
    policy = spec["podReplacementPolicy"]
    allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    return [] if policy is None else values.enum(at.to("podReplacementPolicy"), policy, allowed)


def _restart(spec: Obj, at: Place) -> Iterator[FieldError]:
    """Pods of a Job end."""
    where = at.to("template.spec.restartPolicy")
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") or ""
    if policy in ("", "Always"):
        yield errors.required(where, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield errors.not_supported(where, policy, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        yield errors.invalid(where, policy, 'only "Never" is supported when podFailurePolicy is specified')


# --- the whole ---


def _generated(job: Obj, at: Place) -> Iterator[FieldError]:
    """The selector and the labels that the server writes must be those that are there."""
    spec, meta = job["spec"], job["metadata"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    labels, uid, name = labels_of(spec.get("template")), meta.get("uid") or "", meta.get("name") or ""
    wanted = {"controller-uid": uid, "job-name": name}
    before = None if at.old is None else labels_of(at.old["spec"].get("template"))
    if before is None or (_NAME in before and _UID in before):
        wanted |= {_UID: uid, _NAME: name}
    for key, value in wanted.items():
        where, text = f"spec.template.metadata.labels[{key}]", f"must be '{value}'"
        if key not in labels:
            yield errors.required(where, text)
        elif labels[key] != value:
            yield errors.invalid(where, labels, text)
    if usable(spec, at) and not selectors.from_label_selector(spec["selector"]).matches(wanted):
        shown = struct("meta.v1.LabelSelector", spec["selector"])
        yield errors.invalid("spec.selector", shown, "`selector` not auto-generated")


def _pod_names(job: Obj, at: Place) -> Iterator[FieldError]:
    """The pods of an Indexed Job are called after it and their index."""
    count, name = job["spec"].get("completions") or 0, job["metadata"].get("name") or ""
    if indexed(job["spec"], at) and count > 0 and formats.dns1123_label(f"{name}-{count - 1}"):
        text = f"will not able to create pod with invalid DNS label: {name}-{count - 1}"
        yield errors.invalid("metadata.name", name, text)


def _change(job: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    spec, was = job["spec"], before["spec"]
    wanted = spec.get("completions")
    if not indexed(spec, at):
        yield from _stands("completions", spec, was)
    elif wanted not in (None, was.get("completions"), spec.get("parallelism")):
        yield errors.invalid("spec.completions", wanted, "can only be modified in tandem with spec.parallelism")
    yield from _stands("selector", spec, was)
    yield from _template(spec.get("template") or {}, was.get("template") or {}, _waits(before))
    for field in _STANDING:
        yield from _stands(field, spec, was)


def _stands(field: str, spec: Obj, was: Obj) -> Iterator[FieldError]:
    value = spec.get(field)
    if value != was.get(field):
        yield errors.immutable(f"spec.{field}", struct(_STRUCTS[field], value) if field in _STRUCTS else value)


def _template(new: Obj, old: Obj, waits: bool) -> Iterator[FieldError]:
    """A Job that waits may still ask for other places and resources."""
    if not waits and new != old:
        yield errors.immutable("spec.template", struct("core.v1.PodTemplateSpec", new))
    elif waits and _unplaced(new) != _unplaced(old):
        yield errors.immutable("spec.template.spec", struct("core.v1.PodSpec", new.get("spec") or {}))


def _waits(job: Obj) -> bool:
    """Whether a Job is suspended and has no pods."""
    status = job.get("status") or {}
    begun = status.get("startTime") is not None and not is_true(status, "Suspended")
    return bool(job["spec"].get("suspend")) and not begun and not status.get("active")


def is_true(status: Obj, condition: str) -> bool:
    listed = status.get("conditions") or ()
    return any(one.get("type") == condition and one.get("status") == "True" for one in listed)


def _unplaced(template: Obj) -> Obj:
    """A template's pod without what says where it goes and what it needs."""
    pod = {k: v for k, v in (template.get("spec") or {}).items() if k not in _SCHEDULING}
    pod["affinity"] = {k: v for k, v in (pod.get("affinity") or {}).items() if k != "nodeAffinity"}
    for field in ("containers", "initContainers"):
        pod[field] = [{k: v for k, v in one.items() if k != "resources"} for one in pod.get(field) or ()]
    return pod


RULES: dict[str, Row] = {
    "batch.v1.Job": (
        hook(_generated),
        inside("spec", always=True),
        hook(_pod_names),
        # Upstream looks twice at a spec that is changed.
        when(exists, inside("spec", always=True)),
        changed(_change),
    ),
    "batch.v1.JobSpec": (
        not_negative("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"),
        not_negative("backoffLimitPerIndex", "maxFailedIndexes"),
        hook(_limited, "maxFailedIndexes"),
        hook(_manager, "managedBy"),
        longest("managedBy", 63),
        enum("completionMode", ("NonIndexed", "Indexed")),
        when(indexed, hook(_indexes)),
        hook(_no_indexes),
        "podFailurePolicy",
        hook(_early, "successPolicy"),
        when(indexed, "successPolicy"),
        hook(_replacement, "podReplacementPolicy"),
        inside("template", always=True),
        hook(_restart),
    ),
    "batch.v1.Job.spec": (required("selector"), "selector", when(usable, hook(selects))),
}

"""Jobs and CronJobs."""

from __future__ import annotations

import re
import zoneinfo
from typing import Any

from apimachinery import errors, formats, selectors
from controlplane.apiserver.rules.tables import rules
from controlplane.apiserver.rules.values import Found, Obj, domain_path, enum, label_selector, not_negative
from controlplane.apiserver.validation import jobpolicies

_MACROS = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))
_EVERY = re.compile(r"@every ([0-9.]+(ns|us|ms|s|m|h))+\Z")
_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_NAMED = {
    3: dict(
        zip(
            ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
            range(1, 13),
            strict=True,
        )
    ),
    4: dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], range(7), strict=True)),
}
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_UID_LABEL, _NAME_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_INDEXED_MOST = 100000


def job(obj: Obj) -> Found:
    spec = obj["spec"]
    found = _generated(obj)
    found += job_spec("spec", spec, named=True)
    return found


def _generated(obj: Obj) -> Found:
    """The selector that the server writes must be the one that is there."""
    spec = obj["spec"]
    if spec.get("manualSelector"):
        return []
    found: Found = []
    wanted = {"matchLabels": {_UID_LABEL: obj["metadata"].get("uid")}}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    name = obj["metadata"].get("name")
    for key in (_NAME_LABEL, "job-name"):
        if key in labels and labels[key] != name:
            where = f"spec.template.metadata.labels[{key}]"
            found.append(errors.invalid(where, dict(sorted(labels.items())), f"must be '{name}'"))
    if spec.get("selector") != wanted:
        found.append(errors.invalid("spec.selector", spec.get("selector"), "`selector` not auto-generated"))
    return found


def job_spec(path: str, spec: Obj, named: bool) -> Found:
    found: Found = []
    for field in _COUNTS:
        found += not_negative(f"{path}.{field}", spec.get(field))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        text = "when maxFailedIndexes is specified"
        found.append(errors.required(f"{path}.backoffLimitPerIndex", text))
    if spec.get("completionMode") is not None:
        found += enum(f"{path}.completionMode", spec["completionMode"], ("NonIndexed", "Indexed"))
        if spec["completionMode"] == "Indexed":
            found += _indexed(path, spec)
    if spec.get("completionMode") in (None, "NonIndexed"):
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(field) is not None:
                found.append(errors.invalid(f"{path}.{field}", spec[field], "requires indexed completion mode"))
    if spec.get("podFailurePolicy") is not None:
        found += jobpolicies.failure(f"{path}.podFailurePolicy", spec)
    if spec.get("successPolicy") is not None:
        found += jobpolicies.success(f"{path}.successPolicy", spec)
    if spec.get("podReplacementPolicy") is not None:
        allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
        found += enum(f"{path}.podReplacementPolicy", spec["podReplacementPolicy"], allowed)
    if spec.get("managedBy") is not None:
        found += domain_path(f"{path}.managedBy", spec["managedBy"])
    template = spec.get("template") or {}
    if named:
        found += _selected(path, spec, template)
    found += rules().of_type("core.v1.PodTemplateSpec", f"{path}.template", template, "Job")
    return found + _restart(path, spec, template)


# What of a job's template may change as long as the job is suspended and has not begun (KEP-2926, KEP-5440).
_SCHEDULING = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
_FROZEN = (
    "selector",
    "template",
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)


def job_change(new: Obj, old: Obj) -> Found:
    """What must not change in a job that exists. The rules of a new one are told twice, as upstream does."""
    spec, was = new["spec"], old["spec"]
    found = job_spec("spec", spec, named=True) + _completions(spec, was)
    waiting = was.get("suspend") and not (old.get("status") or {}).get("startTime")
    for field in _FROZEN:
        value, before = spec.get(field), was.get(field)
        if field == "template" and waiting:
            value, before = _unscheduled(value or {}), _unscheduled(before or {})
        if value != before:
            found.append(errors.immutable(f"spec.{field}", _as_told(field, value)))
    return found


def _completions(spec: Obj, was: Obj) -> Found:
    wanted = spec.get("completions")
    if wanted == was.get("completions"):
        return []
    if spec.get("completionMode") != "Indexed":
        return [errors.immutable("spec.completions", wanted)]
    if wanted != spec.get("parallelism") or was.get("completions") is None:
        return [errors.invalid("spec.completions", wanted, "can only be modified in tandem with spec.parallelism")]
    return []


def _unscheduled(template: Obj) -> Obj:
    """A template without what says where its pods go, how they are labelled and what they need."""
    metadata = {k: v for k, v in (template.get("metadata") or {}).items() if k not in ("labels", "annotations")}
    spec = {k: v for k, v in (template.get("spec") or {}).items() if k not in _SCHEDULING}
    for field in ("containers", "initContainers"):
        spec[field] = [{k: v for k, v in one.items() if k != "resources"} for one in spec.get(field) or ()]
    return {"metadata": metadata, "spec": spec}


def _as_told(field: str, value: Any) -> Any:
    """A value as upstream's own types spell it, with the labels of a selector in their order."""
    if field == "podFailurePolicy" and value is not None:
        return {"Rules": [], **{key: inner for key, inner in _capitals(value).items() if inner is not None}}
    if field == "selector" and (value or {}).get("matchLabels"):
        return {**value, "matchLabels": dict(sorted(value["matchLabels"].items()))}
    return value


def _capitals(value: Any) -> Any:
    """A value as upstream's own types spell it."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: _capitals(inner) for key, inner in value.items()}
    return [_capitals(one) for one in value] if isinstance(value, list) else value


def _selected(path: str, spec: Obj, template: Obj) -> Found:
    selector = spec.get("selector")
    found = [errors.required(f"{path}.selector")] if selector is None else label_selector(f"{path}.selector", selector)
    labels = (template.get("metadata") or {}).get("labels") or {}
    try:
        fits = selectors.from_label_selector(selector).matches(labels)
    except selectors.SelectorError:
        fits = False
    if not fits:
        text = "`selector` does not match template `labels`"
        found.append(errors.invalid(f"{path}.template.metadata.labels", dict(sorted(labels.items())) or None, text))
    return found


def _indexed(path: str, spec: Obj) -> Found:
    found: Found = []
    if spec.get("completions") is None:
        found.append(errors.required(f"{path}.completions", "when completion mode is Indexed"))
    if (spec.get("parallelism") or 0) > _INDEXED_MOST:
        text = f"must be less than or equal to {_INDEXED_MOST} when completion mode is Indexed"
        found.append(errors.invalid(f"{path}.parallelism", spec["parallelism"], text))
    return found


def _restart(path: str, spec: Obj, template: Obj) -> Found:
    where, policy = f"{path}.template.spec.restartPolicy", (template.get("spec") or {}).get("restartPolicy")
    if policy in (None, "", "Always"):
        return [errors.required(where, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [errors.not_supported(where, policy, ("OnFailure", "Never"))]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        return [errors.invalid(where, policy, text)]
    return []


def cron_job_name(text: str) -> tuple[str, ...]:
    found = formats.dns1123_subdomain(text)
    return (*found, "must be no more than 52 characters") if len(text) > 52 else found


def cron_job(obj: Obj) -> Found:
    spec = obj["spec"]
    schedule = spec.get("schedule") or ""
    found: Found = []
    if not schedule:
        found.append(errors.required("spec.schedule"))
    elif "TZ" in schedule:
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        found.append(errors.invalid("spec.schedule", schedule, text))
    elif why := schedule_error(schedule):
        found.append(errors.invalid("spec.schedule", schedule, why))
    found += not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    found += _time_zone(spec.get("timeZone"))
    allowed = ("Allow", "Forbid", "Replace")
    found += enum("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), allowed)
    found += job_spec("spec.jobTemplate.spec", (spec.get("jobTemplate") or {}).get("spec") or {}, named=False)
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        found += not_negative(f"spec.{field}", spec.get(field))
    return found


def _time_zone(zone: Any) -> Found:
    if zone is None:
        return []
    if not zone:
        return [errors.invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [errors.invalid("spec.timeZone", zone, text)]
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [errors.invalid("spec.timeZone", zone, f"unknown time zone {zone}")]
    return []


def schedule_error(schedule: str) -> str:
    """What is wrong with a cron schedule, "" when it is fine."""
    if schedule.startswith("@"):
        fine = schedule in _MACROS or _EVERY.match(schedule)
        return "" if fine else f"unrecognized descriptor: {schedule}"
    parts = schedule.split()
    if len(parts) != 5:
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    for place, part in enumerate(parts):
        for piece in part.split(","):
            if why := _piece_error(piece, place):
                return why
    return ""


def _piece_error(piece: str, place: int) -> str:
    low, high = _FIELDS[place]
    span, _, step = piece.partition("/")
    if step and not (step.isdigit() and int(step)):
        return f'failed to parse int from {step}: strconv.Atoi: parsing "{step}": invalid syntax'
    if span in ("*", "?"):
        return ""
    ends = []
    for text in span.split("-"):
        value = _NAMED.get(place, {}).get(text.lower())
        if value is None:
            if not text.isdigit():
                return f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
            value = int(text)
        ends.append(value)
    first, last = ends[0], ends[-1]
    if first < low:
        return f"beginning of range ({first}) below minimum ({low}): {piece}"
    if last > high:
        return f"end of range ({last}) above maximum ({high}): {piece}"
    return f"beginning of range ({first}) beyond end of range ({last}): {piece}" if first > last else ""

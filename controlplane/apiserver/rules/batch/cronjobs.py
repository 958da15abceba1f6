"""CronJobs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apimachinery import cron, errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.words import created, enum, hook, not_negative

# A Job's name ends with the minute it is for.
_LONGEST_NAME = 52
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}\Z")


def _name(job: Obj, at: Place) -> Iterator[FieldError]:
    name = job["metadata"].get("name") or ""
    if len(name) > _LONGEST_NAME:
        yield errors.invalid("metadata.name", name, f"must be no more than {_LONGEST_NAME} characters")


def _schedule(spec: Obj, at: Place) -> Iterator[FieldError]:
    where, text = at.to("schedule"), spec.get("schedule") or ""
    if not text:
        yield errors.required(where)
        return
    try:
        cron.read(text)
    except cron.CronError as error:
        yield errors.invalid(where, text, str(error))
    if "TZ" not in text:
        return
    if "TZ" not in ((at.old or {}).get("schedule") or ""):
        yield errors.invalid(where, text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    elif spec.get("timeZone") is not None:
        yield errors.invalid(where, text, "cannot use both timeZone field and TZ or CRON_TZ in schedule")


def _zone(spec: Obj, at: Place) -> Iterator[FieldError]:
    zone, where = spec["timeZone"], at.to("timeZone")
    if zone is None or (at.old is not None and at.old.get("timeZone") == zone):
        return
    if not zone:
        yield errors.invalid(where, zone, "timeZone must be nil or non-empty string")
        return
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not _ZONE_PART.match(part):
            yield errors.invalid(where, zone, f"unknown time zone {zone}")
            return
    if zone.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield errors.invalid(where, zone, text)
    if wrong := cron.zone_error(zone):
        yield errors.invalid(where, zone, wrong)


def _selects_itself(template: Obj, at: Place) -> Iterator[FieldError]:
    spec = template.get("spec") or {}
    if spec.get("selector") is not None:
        shown = struct("meta.v1.LabelSelector", spec["selector"])
        yield errors.invalid(at.to("spec.selector"), shown, "`selector` will be auto-generated")
    if spec.get("manualSelector"):
        yield errors.not_supported(at.to("spec.manualSelector"), True, ("nil", "false"))


RULES: dict[str, Row] = {
    "batch.v1.CronJob": (inside("spec", always=True), created(_name)),
    "batch.v1.CronJobSpec": (
        hook(_schedule),
        not_negative("startingDeadlineSeconds"),
        hook(_zone, "timeZone"),
        enum("concurrencyPolicy", ("Allow", "Forbid", "Replace"), "required"),
        inside("jobTemplate", always=True),
        not_negative("successfulJobsHistoryLimit", "failedJobsHistoryLimit"),
    ),
    "batch.v1.JobTemplateSpec": (inside("spec", always=True), hook(_selects_itself)),
}

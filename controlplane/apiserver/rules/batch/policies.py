"""When a Job counts as failed, or as successful early."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.defaults.empties import written
from controlplane.apiserver.rules import values
from controlplane.apiserver.rules.batch import indexes
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.words import any_form, at_most, enum, hook, required

_MOST, _MOST_CODES, _LONGEST_INDEXES = 20, 255, 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")


def _choices(listed: tuple[str, ...]) -> str:
    return "valid values: " + " ".join(f'"{choice}"' for choice in listed).join("[]")


# --- failure ---


def _action(rule: Obj, at: Place) -> Iterator[FieldError]:
    action, job = rule.get("action") or "", at.above(2).value
    if not action:
        yield errors.required(at.to("action"), _choices(_ACTIONS))
    elif action == "FailIndex" and job.get("backoffLimitPerIndex") is None:
        yield errors.invalid(at.to("action"), action, "requires the backoffLimitPerIndex to be set")
    else:
        yield from values.enum(at.to("action"), action, _ACTIONS)


def _one(rule: Obj, at: Place) -> Iterator[FieldError]:
    by_codes, by_conditions = rule.get("onExitCodes") is not None, bool(rule.get("onPodConditions"))
    if by_codes and by_conditions:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        yield errors.invalid_whole(at.path, text)
    if not by_codes and not by_conditions:
        text = "specifying one of OnExitCodes and OnPodConditions is required"
        yield errors.invalid_whole(at.path, text)


def _codes(codes: Obj, at: Place) -> Iterator[FieldError]:
    container, listed = codes.get("containerName"), codes.get("values") or []
    pod = (at.above(3).value.get("template") or {}).get("spec") or {}
    names = {c.get("name") or "" for field in ("containers", "initContainers") for c in pod.get(field) or ()}
    if container is not None and container not in names:
        text = "must be one of the container or initContainer names in the pod template"
        yield errors.invalid(at.to("containerName"), container, text)
    if not listed:
        yield errors.invalid(at.to("values"), written(codes, "values"), "at least one value is required")
    elif len(listed) > _MOST_CODES:
        yield errors.too_many(at.to("values"), len(listed), _MOST_CODES)
    for index, code in enumerate(listed):
        if codes.get("operator") == "In" and code == 0:
            yield errors.invalid(f"{at.to('values')}[{index}]", code, "must not be 0 for the In operator")
        if code in listed[:index]:
            yield errors.duplicate(f"{at.to('values')}[{index}]", code)
    if listed != sorted(listed):
        yield errors.invalid(at.to("values"), listed, "must be ordered")


# --- success ---


def _success(rule: Obj, at: Place) -> Iterator[FieldError]:
    listed, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    completions, total = at.above(2).value.get("completions") or 0, 0
    if listed is None and count is None:
        yield errors.required(at.path, "at least one of succeededCount or succeededIndexes must be specified")
    if listed is not None:
        where = at.to("succeededIndexes")
        if len(listed) > _LONGEST_INDEXES:
            yield errors.too_long(where, _LONGEST_INDEXES)
        total, wrong = indexes.count(listed, completions)
        if wrong:
            yield errors.invalid(where, listed, f"error parsing succeededIndexes: {wrong}")
    if count is None:
        return
    where = at.to("succeededCount")
    yield from values.not_negative(where, count)
    if count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        yield errors.invalid(where, count, text)
    if listed is not None and count > total:
        what = "the number of indexes in the specified succeededIndexes field"
        yield errors.invalid(where, count, f"must be less than or equal to {total} ({what})")


RULES: dict[str, Row] = {
    "batch.v1.PodFailurePolicy": (at_most("rules", _MOST), "rules"),
    "batch.v1.PodFailurePolicyRule": (
        hook(_action),
        "onExitCodes",
        at_most("onPodConditions", _MOST),
        "onPodConditions",
        hook(_one),
    ),
    "batch.v1.PodFailurePolicyOnPodConditionsPattern": (
        any_form("type", formats.qualified_name),
        enum("status", _STATUSES, "required", _choices(_STATUSES)),
    ),
    "batch.v1.PodFailurePolicyOnExitCodesRequirement": (
        enum("operator", _OPERATORS, "required", _choices(_OPERATORS)),
        hook(_codes),
    ),
    "batch.v1.SuccessPolicy": (
        required("rules", detail="at least one rules must be specified when the successPolicy is specified"),
        at_most("rules", _MOST),
        "rules",
    ),
    "batch.v1.SuccessPolicyRule": (hook(_success),),
}

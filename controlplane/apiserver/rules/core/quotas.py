"""ResourceQuotas and LimitRanges: amounts of resources, by name."""

from __future__ import annotations

import math
from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from apimachinery.pods.totals import HUGE_PAGES as HUGE
from apimachinery.quantity import Quantity
from controlplane.apiserver.rules.core.resources import (
    STANDARD,
    container_resource_name,
    native,
    resource_amount,
    resource_name,
)
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import amount, each
from controlplane.apiserver.rules.words import changed, hook

_QUOTA = STANDARD - {"storage"}
_HUGE = (HUGE, f"requests.{HUGE}")
_OF_PODS = frozenset(
    ("pods", *(f"{side}{name}" for side in ("", "requests.", "limits.") for name in ("cpu", "memory")))
)
# What each scope can narrow down.
_SCOPES: dict[str, frozenset[str]] = {
    "Terminating": _OF_PODS,
    "NotTerminating": _OF_PODS,
    "NotBestEffort": _OF_PODS,
    "PriorityClass": _OF_PODS,
    "CrossNamespacePodAffinity": _OF_PODS,
    "BestEffort": frozenset(("pods",)),
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
}
# What upstream can still count in thousandths.
_MOST_THOUSANDS = ((1 << 63) - 1) // 1000
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
# Scopes that a pod is in or not, without values to choose from.
_PLAIN = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_PLAIN_TEXT = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_UNFIT = "unsupported scope applied to resource"


def _amounts(path: str, listed: Obj) -> Iterator[FieldError]:
    for name, text in sorted(listed.items()):
        where = f"{path}[{name}]"
        yield from resource_name(where, name)
        if "/" not in name and name not in _QUOTA and not name.startswith(_HUGE):
            yield errors.invalid(where, name, "must be a standard resource for quota")
        yield from resource_amount(where, name, text)


def _hard(spec: Obj, at: Place) -> Iterator[FieldError]:
    return _amounts(at.to("hard"), spec["hard"] or {})


def _reported(status: Obj, at: Place) -> Iterator[FieldError]:
    for field in ("hard", "used"):
        yield from _amounts(at.to(field), status.get(field) or {})


def _unfit(scope: str, spec: Obj) -> list[str]:
    """The resources that a scope says nothing of."""
    fitting = _SCOPES.get(scope)
    named = [name for name in sorted(spec.get("hard") or ()) if name in _QUOTA or name.startswith(_HUGE)]
    return [] if fitting is None else [name for name in named if name not in fitting]


def _conflicts(path: str, scopes: list[str], shown: object) -> Iterator[FieldError]:
    for pair in _CONFLICTS:
        if set(pair) <= set(scopes):
            yield errors.invalid(path, shown, "conflicting scopes")


def _scopes(spec: Obj, at: Place) -> Iterator[FieldError]:
    scopes, where = spec["scopes"] or [], at.to("scopes")
    for scope in scopes:
        if scope not in _SCOPES:
            yield errors.invalid(where, scopes, "unsupported scope")
        for _ in _unfit(scope, spec):
            yield errors.invalid(where, scopes, _UNFIT)
    yield from _conflicts(where, scopes, scopes)


def _selector(spec: Obj, at: Place) -> Iterator[FieldError]:
    selector, where = spec["scopeSelector"], at.to("scopeSelector.matchExpressions")
    chosen = []
    for entry in selector.get("matchExpressions") or ():
        scope, operator = entry.get("scopeName") or "", entry.get("operator") or ""
        chosen.append(scope)
        if scope not in _SCOPES:
            yield errors.invalid(f"{where}.scopeName", scope, "unsupported scope")
        for _ in _unfit(scope, spec):
            yield errors.invalid(where, struct("core.v1.ScopeSelector", selector), _UNFIT)
        if scope in _PLAIN and operator != "Exists":
            yield errors.invalid(f"{where}.operator", operator, _PLAIN_TEXT)
        yield from _operator(where, operator, entry.get("values") or [])
    yield from _conflicts(where, chosen, spec.get("scopes"))


def _operator(path: str, operator: str, values: list[str]) -> Iterator[FieldError]:
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield errors.required(f"{path}.values", text)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield errors.invalid(f"{path}.values", values, text)
    else:
        yield errors.invalid(f"{path}.operator", operator, "not a valid selector operator")


def _same_scopes(spec: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    if set(spec.get("scopes") or ()) != set(before.get("scopes") or ()):
        yield errors.immutable(at.to("scopes"), spec.get("scopes"))


# --- limits ---

_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
_FIELDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
# (the lesser, the greater, the field complained of, whose value is shown, their names)
_ORDER = (
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "defaultRequest",
        "min value {} is greater than default request value {}",
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "defaultRequest",
        "default request value {} is greater than max value {}",
    ),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "defaultRequest",
        "default request value {} is greater than default limit value {}",
    ),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)


def _type(item: Obj, at: Place) -> Iterator[FieldError]:
    kind = item.get("type") or ""
    if complaints := formats.qualified_name(kind):
        yield from each(at.to("type"), kind, complaints)
    elif "/" not in kind and kind not in _LIMIT_TYPES:
        yield errors.invalid(at.to("type"), kind, "must be a standard limit type or fully qualified")
    if kind in at.seen("types"):
        yield errors.duplicate(at.to("type"), kind)
    at.seen("types").add(kind)


def _limits(item: Obj, at: Place) -> Iterator[FieldError]:
    kind = item.get("type") or ""
    check = container_resource_name if kind in ("Pod", "Container") else resource_name
    for field in _FIELDS:
        listed = item.get(field) or {}
        if kind == "Pod" and field.startswith("default"):
            if listed:
                yield errors.field_forbidden(at.to(field), "may not be specified when `type` is 'Pod'")
            continue
        if field == "maxLimitRequestRatio":
            yield from _storage(item, at)
        for name in sorted(listed):
            yield from check(f"{at.to(field)}[{name}]", name)
    for name in sorted({name for field in _FIELDS for name in item.get(field) or {}}):
        yield from _ordered(item, name, at)


def _storage(item: Obj, at: Place) -> Iterator[FieldError]:
    if item.get("type") == "PersistentVolumeClaim" and not any(
        "storage" in (item.get(f) or {}) for f in ("min", "max")
    ):
        text = "either minimum or maximum storage value is required, but neither was provided"
        yield errors.required(at.to("limits"), text)


def _ordered(item: Obj, name: str, at: Place) -> Iterator[FieldError]:
    values: dict[str, Quantity] = {
        field: amount((item.get(field) or {})[name])
        for field in _FIELDS
        if name in (item.get(field) or {}) and not (item.get("type") == "Pod" and field.startswith("default"))
    }
    for lesser, greater, field, shown, text in _ORDER:
        if lesser in values and greater in values and values[lesser] > values[greater]:
            told = text.format(values[lesser], values[greater])
            yield errors.invalid(f"{at.to(field)}[{name}]", str(values[shown]), told)
    yield from _ratio(f"{at.to('maxLimitRequestRatio')}[{name}]", values)
    given, asked = values.get("default"), values.get("defaultRequest")
    if given is not None and asked is not None and given != asked and (not native(name) or name.startswith(HUGE)):
        text = f"default value {given} must equal to defaultRequest value {asked} in {name}"
        yield errors.invalid(f"{at.to('defaultRequest')}[{name}]", str(asked), text)


def _ratio(path: str, values: dict[str, Quantity]) -> Iterator[FieldError]:
    ratio, low, high = (values.get(field) for field in ("maxLimitRequestRatio", "min", "max"))
    if ratio is None:
        return
    if ratio < amount(1):
        yield errors.invalid(path, str(ratio), f"ratio {ratio} is less than 1")
    if low is None or high is None:
        return
    # Upstream counts in thousandths as long as they fit into 64 bits, and divides what it has, whatever its sign.
    fine = all(number.value() < _MOST_THOUSANDS for number in (ratio, low, high))
    most, least = (high.milli(), low.milli()) if fine else (high.value(), low.value())
    limit = most / least if least else math.copysign(math.inf, most) if most else math.nan
    if (ratio.milli() / 1000 if fine else ratio.value()) > limit:
        text = f"ratio {ratio} is greater than max/min = {'-Inf' if limit == -math.inf else f'{limit:f}'}"
        yield errors.invalid(path, str(ratio), text)


RULES: dict[str, Row] = {
    "core.v1.ResourceQuota": ("spec", "status"),
    "core.v1.ResourceQuota/status": ("status",),
    "core.v1.ResourceQuotaSpec": (
        hook(_hard, "hard"),
        hook(_scopes, "scopes"),
        hook(_selector, "scopeSelector"),
        changed(_same_scopes),
    ),
    "core.v1.ResourceQuotaStatus": (hook(_reported),),
    "core.v1.LimitRange": ("spec",),
    "core.v1.LimitRangeSpec": ("limits",),
    "core.v1.LimitRangeItem": (hook(_type), hook(_limits)),
}

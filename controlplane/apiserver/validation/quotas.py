"""ResourceQuotas and LimitRanges: amounts of resources, by name."""

from __future__ import annotations

from collections.abc import Iterable

from apimachinery import errors, formats
from apimachinery.quantity import Quantity
from controlplane.apiserver.rules.values import NOT_NEGATIVE, Found, Obj, amount, each

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_COUNTED = (
    "pods",
    "services",
    "resourcequotas",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
)
_QUOTA = frozenset(
    (
        *_COUNTED,
        *_COMPUTE,
        *(f"requests.{name}" for name in _COMPUTE),
        *(f"limits.{name}" for name in _COMPUTE),
        "requests.storage",
    )
)
_STANDARD = _QUOTA | {"storage"}
_HUGE = ("hugepages-", "requests.hugepages-")
# What each scope can narrow down: pods, and the compute resources that pods use.
_OF_PODS = frozenset(
    (
        "pods",
        *_COMPUTE,
        *(f"requests.{name}" for name in _COMPUTE),
        *(f"limits.{name}" for name in _COMPUTE),
    )
)
_SCOPES: dict[str, frozenset[str]] = {
    "Terminating": _OF_PODS,
    "NotTerminating": _OF_PODS,
    "NotBestEffort": _OF_PODS,
    "PriorityClass": _OF_PODS,
    "CrossNamespacePodAffinity": _OF_PODS,
    "BestEffort": frozenset(("pods",)),
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
}
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
# Scopes that a pod is in or not, without values to choose from.
_PLAIN = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_PLAIN_TEXT = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_UNFIT = "unsupported scope applied to resource"


def _resource(path: str, name: str, standard: Iterable[str] = _STANDARD) -> Found:
    found = each(path, name, formats.qualified_name(name))
    if not found and "/" not in name and name not in standard and not name.startswith(_HUGE):
        found.append(errors.invalid(path, name, "must be a standard resource type or fully qualified"))
    return found


# --- quotas ---


def quota(obj: Obj) -> Found:
    spec = obj["spec"]
    hard = spec.get("hard") or {}
    found = _hard("spec.hard", hard)
    found += _scopes(spec, hard)
    selector = spec.get("scopeSelector")
    return found + (_selector(selector, hard) if selector is not None else [])


def _hard(path: str, listed: Obj) -> Found:
    found: Found = []
    for name, text in sorted(listed.items()):
        where = f"{path}[{name}]"
        found += _resource(where, name)
        if "/" not in name and name not in _QUOTA and not name.startswith(_HUGE):
            found.append(errors.invalid(where, name, "must be a standard resource for quota"))
        if amount(text) < amount(0):
            found.append(errors.invalid(where, text, NOT_NEGATIVE))
        if (name in _COUNTED or "/" in name) and amount(text).milli() % 1000:
            found.append(errors.invalid(where, text, "must be an integer"))
    return found


def _fits(scope: str, hard: Obj) -> bool:
    return all(name in _SCOPES.get(scope, frozenset()) for name in hard if name in _QUOTA)


def _scopes(spec: Obj, hard: Obj) -> Found:
    scopes = spec.get("scopes") or []
    found: Found = []
    for scope in scopes:
        if scope not in _SCOPES:
            found.append(errors.invalid("spec.scopes", scopes, "unsupported scope"))
        if not _fits(scope, hard):
            found.append(errors.invalid("spec.scopes", scopes, _UNFIT))
    return found + _conflicts("spec.scopes", scopes)


def _conflicts(path: str, scopes: list[str]) -> Found:
    return [
        errors.invalid(path, scopes, "conflicting scopes")
        for pair in _CONFLICTS
        if all(scope in scopes for scope in pair)
    ]


def _selector(selector: Obj, hard: Obj) -> Found:
    path = "spec.scopeSelector.matchExpressions"
    found: Found = []
    chosen = []
    for entry in selector.get("matchExpressions") or ():
        scope, operator, values = entry.get("scopeName") or "", entry.get("operator") or "", entry.get("values") or []
        chosen.append(scope)
        if scope not in _SCOPES:
            found.append(errors.invalid(f"{path}.scopeName", scope, "unsupported scope"))
        if not _fits(scope, hard):
            found.append(errors.invalid(path, selector, _UNFIT))
        if scope in _PLAIN and operator != "Exists":
            found.append(errors.invalid(f"{path}.operator", operator, _PLAIN_TEXT))
        found += _operator(path, operator, values)
    return found + _conflicts(path, chosen)


def _operator(path: str, operator: str, values: list[str]) -> Found:
    if operator in ("In", "NotIn"):
        text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        return [] if values else [errors.required(f"{path}.values", text)]
    if operator in ("Exists", "DoesNotExist"):
        text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
        return [errors.invalid(f"{path}.values", values, text)] if values else []
    return [errors.invalid(f"{path}.operator", operator, "not a valid selector operator")]


def quota_change(new: Obj, old: Obj) -> Found:
    before, after = old["spec"].get("scopes") or [], new["spec"].get("scopes") or []
    return [] if set(before) == set(after) else [errors.immutable("spec.scopes", after)]


def quota_status(new: Obj, old: Obj) -> Found:
    status = new.get("status") or {}
    return [error for field in ("hard", "used") for error in _hard(f"status.{field}", status.get(field) or {})]


# --- limits ---

_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
_FIELDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def limit_range(obj: Obj) -> Found:
    found: Found = []
    seen: set[str] = set()
    for index, item in enumerate(obj["spec"].get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type") or ""
        found += each(f"{path}.type", kind, formats.qualified_name(kind))
        if not found and "/" not in kind and kind not in _LIMIT_TYPES:
            text = "must be a standard limit type or fully qualified"
            found.append(errors.invalid(f"{path}.type", kind, text))
        if kind in seen:
            found.append(errors.duplicate(f"{path}.type", kind))
        seen.add(kind)
        found += _limit(path, kind, item)
    return found


def _limit(path: str, kind: str, item: Obj) -> Found:
    found: Found = []
    for field in _FIELDS:
        listed = item.get(field) or {}
        if kind == "Pod" and field.startswith("default") and listed:
            found.append(errors.field_forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
            continue
        for name in sorted(listed):
            found += _limited(f"{path}.{field}[{name}]", name, kind)
    if kind == "PersistentVolumeClaim" and not any("storage" in (item.get(field) or {}) for field in ("min", "max")):
        text = "either minimum or maximum storage value is required, but neither was provided"
        found.append(errors.required(f"{path}.limits", text))
    for name in sorted({name for field in _FIELDS for name in item.get(field) or {}}):
        found += _order(path, kind, item, name)
    return found


def _limited(path: str, name: str, kind: str) -> Found:
    if kind not in ("Pod", "Container"):
        return _resource(path, name)
    found = _resource(path, name)
    if not found and "/" not in name and name not in _COMPUTE and not name.startswith(_HUGE[0]):
        found.append(errors.invalid(path, name, "must be a standard resource for containers"))
    return found


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


def _order(path: str, kind: str, item: Obj, name: str) -> Found:
    values: dict[str, Quantity] = {
        field: amount((item.get(field) or {})[name])
        for field in _FIELDS
        if name in (item.get(field) or {}) and not (kind == "Pod" and field.startswith("default"))
    }
    found: Found = []
    for lesser, greater, field, shown, text in _ORDER:
        if lesser in values and greater in values and values[lesser] > values[greater]:
            words = text.format(values[lesser], values[greater])
            found.append(errors.invalid(f"{path}.{field}[{name}]", str(values[shown]), words))
    return found + _ratio(f"{path}.maxLimitRequestRatio[{name}]", values) + _fixed(path, name, values)


def _ratio(path: str, values: dict[str, Quantity]) -> Found:
    ratio = values.get("maxLimitRequestRatio")
    if ratio is None:
        return []
    if ratio < amount(1):
        return [errors.invalid(path, str(ratio), f"ratio {ratio} is less than 1")]
    low, high = values.get("min"), values.get("max")
    if low and high and ratio.nanos * low.nanos > high.nanos * 10**9:
        most = high.nanos / low.nanos
        return [errors.invalid(path, str(ratio), f"ratio {ratio} is greater than max/min = {most:f}")]
    return []


def _fixed(path: str, name: str, values: dict[str, Quantity]) -> Found:
    """What cannot be overcommitted is asked for and limited alike."""
    given, asked = values.get("default"), values.get("defaultRequest")
    if given is None or asked is None or given == asked or name in (*_COMPUTE, "storage"):
        return []
    text = f"default value {given} must equal to defaultRequest value {asked} in {name}"
    return [errors.invalid(f"{path}.default[{name}]", str(given), text)]

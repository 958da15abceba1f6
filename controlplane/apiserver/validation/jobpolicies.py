"""When a Job counts as failed or as successful early: podFailurePolicy and successPolicy."""

from __future__ import annotations

from apimachinery import errors, formats
from controlplane.apiserver.rules.values import Found, Obj, each, enum, not_negative

_MOST = 20
_MOST_CODES = 255
_LONGEST_INDEXES = 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")


def _quoted(choices: tuple[str, ...]) -> str:
    return "valid values: " + " ".join(f'"{choice}"' for choice in choices).join("[]")


def failure(path: str, spec: Obj) -> Found:
    """podFailurePolicy of a Job's spec."""
    rules = (spec.get("podFailurePolicy") or {}).get("rules") or []
    found: Found = []
    if len(rules) > _MOST:
        found.append(errors.too_many(f"{path}.rules", len(rules), _MOST))
    template = (spec.get("template") or {}).get("spec") or {}
    names = {c.get("name") for field in ("containers", "initContainers") for c in template.get(field) or ()}
    for index, rule in enumerate(rules):
        found += _rule(f"{path}.rules[{index}]", rule, spec, names)
    return found


def _rule(path: str, rule: Obj, spec: Obj, names: set[str | None]) -> Found:
    action, codes, conditions = rule.get("action") or "", rule.get("onExitCodes"), rule.get("onPodConditions") or []
    found: Found = []
    if not action:
        found.append(errors.required(f"{path}.action", _quoted(_ACTIONS)))
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        found.append(errors.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set"))
    else:
        found += enum(f"{path}.action", action, _ACTIONS)
    if codes is not None:
        found += _codes(f"{path}.onExitCodes", codes, names)
    if len(conditions) > _MOST:
        found.append(errors.too_many(f"{path}.onPodConditions", len(conditions), _MOST))
    for index, pattern in enumerate(conditions):
        found += _condition(f"{path}.onPodConditions[{index}]", pattern)
    if codes is not None and conditions:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        found.append(errors.invalid_whole(path, text))
    if codes is None and not conditions:
        text = "specifying one of OnExitCodes and OnPodConditions is required"
        found.append(errors.invalid_whole(path, text))
    return found


def _condition(path: str, pattern: Obj) -> Found:
    kind, status = pattern.get("type") or "", pattern.get("status") or ""
    found = each(f"{path}.type", kind, formats.qualified_name(kind))
    if not status:
        return [*found, errors.required(f"{path}.status", _quoted(_STATUSES))]
    return found + enum(f"{path}.status", status, _STATUSES)


def _codes(path: str, codes: Obj, names: set[str | None]) -> Found:
    operator, container, values = codes.get("operator") or "", codes.get("containerName"), codes.get("values") or []
    found: Found = []
    if not operator:
        found.append(errors.required(f"{path}.operator", _quoted(_OPERATORS)))
    else:
        found += enum(f"{path}.operator", operator, _OPERATORS)
    if container is not None and container not in names:
        text = "must be one of the container or initContainer names in the pod template"
        found.append(errors.invalid(f"{path}.containerName", container, text))
    if not values:
        found.append(errors.invalid(f"{path}.values", values, "at least one value is required"))
    elif len(values) > _MOST_CODES:
        found.append(errors.too_many(f"{path}.values", len(values), _MOST_CODES))
    for index, code in enumerate(values):
        if operator == "In" and code == 0:
            found.append(errors.invalid(f"{path}.values[{index}]", code, "must not be 0 for the In operator"))
        if code in values[:index]:
            found.append(errors.duplicate(f"{path}.values[{index}]", code))
    if values != sorted(values):
        found.append(errors.invalid(f"{path}.values", values, "must be ordered"))
    return found


# --- success ---


def success(path: str, spec: Obj) -> Found:
    """successPolicy of a Job's spec."""
    policy = spec["successPolicy"] or {}
    if spec.get("completionMode") != "Indexed":
        return [errors.invalid(path, policy, "requires indexed completion mode")]
    rules = policy.get("rules") or []
    found: Found = []
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        found.append(errors.required(f"{path}.rules", text))
    if len(rules) > _MOST:
        found.append(errors.too_many(f"{path}.rules", len(rules), _MOST))
    for index, rule in enumerate(rules):
        found += _success_rule(f"{path}.rules[{index}]", rule, spec.get("completions") or 0)
    return found


def _success_rule(path: str, rule: Obj, completions: int) -> Found:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if indexes is None and count is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        return [errors.required(path, text)]
    found: Found = []
    total = 0
    if indexes is not None:
        where = f"{path}.succeededIndexes"
        if len(indexes) > _LONGEST_INDEXES:
            found.append(errors.too_long(where, _LONGEST_INDEXES))
        total, why = _indexes(indexes, completions)
        if why:
            found.append(errors.invalid(where, indexes, f"error parsing succeededIndexes: {why}"))
    if count is None:
        return found
    where = f"{path}.succeededCount"
    found += not_negative(where, count)
    if count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        found.append(errors.invalid(where, count, text))
    if indexes is not None and count > total:
        text = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        found.append(errors.invalid(where, count, text))
    return found


def _indexes(text: str, completions: int) -> tuple[int, str]:
    """How many indexes a text like "0,3-5" names, or what is wrong with it."""
    total, last = 0, -1
    for piece in text.split(",") if text else ():
        ends = piece.split("-")
        if len(ends) > 2:
            what = "violates the requirement that an index interval can have at most two parts separated by '-'"
            return 0, f'the fragment "{piece}" {what}'
        first = last
        for end in ends:
            if not end.isascii() or not end.isdigit():
                return 0, f'cannot convert string to integer for index: "{end}"'
            number = int(end)
            if number >= completions:
                return 0, f'too large index: "{end}"'
            if number <= first:
                return 0, f"non-increasing order, previous: {first}, current: {number}"
            total += number - first if end is not ends[0] else 1
            first = number
        last = first
    return total, ""

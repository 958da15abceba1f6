"""PriorityClasses."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.place import Place, Row, is_new
from controlplane.apiserver.rules.words import changed, enum, hook, immutable, when

_MOST = 1_000_000_000
# The classes of the system and their values.
_SYSTEM = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def _value(priority: Obj, at: Place) -> Iterator[FieldError]:
    title, value = priority["metadata"].get("name") or "", priority.get("value") or 0
    if title.startswith("system-"):
        if wrong := _not_the_systems(title, value, bool(priority.get("globalDefault"))):
            text = f"priority class names with 'system-' prefix are reserved for system use only. error: {wrong}"
            yield errors.field_forbidden("metadata.name", text)
    elif value > _MOST:
        text = f"maximum allowed value of a user defined priority is {_MOST}"
        yield errors.field_forbidden("value", text)


def _not_the_systems(title: str, value: int, default: bool) -> str:
    if title not in _SYSTEM:
        return f"{title} is not a known system priority class"
    if value != _SYSTEM[title]:
        return f"value of {title} PriorityClass must be {_SYSTEM[title]}"
    return f"globalDefault of {title} PriorityClass must be false" if default else ""


def undeletable(title: str) -> str:
    """Why a class cannot be deleted, "" when it can."""
    return "this is a system priority class and cannot be deleted" if title in _SYSTEM else ""


def _stands(priority: Obj, before: Obj, at: Place) -> Iterator[FieldError]:
    if (priority.get("value") or 0) != (before.get("value") or 0):
        yield errors.field_forbidden("value", "may not be changed in an update.")


RULES: dict[str, Row] = {
    "scheduling.v1.PriorityClass": (
        when(is_new, hook(_value), enum("preemptionPolicy", ("PreemptLowerPriority", "Never"), "required")),
        changed(_stands),
        immutable("preemptionPolicy"),
    ),
}

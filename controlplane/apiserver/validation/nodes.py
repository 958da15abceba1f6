"""Nodes, and the classes that pods name: priorities and runtimes."""

from __future__ import annotations

from apimachinery import errors, formats
from controlplane.apiserver.rules.values import (
    Found,
    Obj,
    amounts,
    each,
    frozen,
    name,
)
from controlplane.apiserver.validation import scheduling

_PREEMPTION = ("PreemptLowerPriority", "Never")
_MOST_PRIORITY = 1_000_000_000
# The classes of the system and their values.
_SYSTEM = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


# --- priority classes ---


def priority_class(obj: Obj) -> Found:
    title, value = obj["metadata"].get("name") or "", obj.get("value") or 0
    found: Found = []
    if title.startswith("system-"):
        if why := _not_the_systems(title, obj):
            text = f"priority class names with 'system-' prefix are reserved for system use only. error: {why}"
            found.append(errors.field_forbidden("metadata.name", text))
    elif value > _MOST_PRIORITY:
        text = f"maximum allowed value of a user defined priority is {_MOST_PRIORITY}"
        found.append(errors.field_forbidden("value", text))
    if obj.get("preemptionPolicy") is not None and obj["preemptionPolicy"] not in _PREEMPTION:
        found.append(errors.not_supported("preemptionPolicy", obj["preemptionPolicy"], _PREEMPTION))
    return found


def _not_the_systems(title: str, obj: Obj) -> str:
    if title not in _SYSTEM:
        return f"{title} is not a known system priority class"
    if (obj.get("value") or 0) != _SYSTEM[title]:
        return f"value of {title} PriorityClass must be {_SYSTEM[title]}"
    if obj.get("globalDefault"):
        return f"globalDefault of {title} PriorityClass must be false"
    return ""


def priority_class_change(new: Obj, old: Obj) -> Found:
    found: Found = []
    if (new.get("value") or 0) != (old.get("value") or 0):
        found.append(errors.field_forbidden("value", "may not be changed in an update."))
    return found + frozen(new, old, "preemptionPolicy")


# --- runtime classes ---


def runtime_class(obj: Obj) -> Found:
    found = name("handler", obj.get("handler"), formats.dns1123_label)
    found += amounts("overhead.podFixed", (obj.get("overhead") or {}).get("podFixed") or {})
    rules = obj.get("scheduling") or {}
    for key, value in sorted((rules.get("nodeSelector") or {}).items()):
        found += each("scheduling.nodeSelector", key, formats.qualified_name(key))
        found += each("scheduling.nodeSelector", value, formats.label_value(value))
    listed = rules.get("tolerations") or []
    found += scheduling.tolerations("scheduling.tolerations", listed)
    for index, toleration in enumerate(listed):
        if toleration in listed[:index]:
            found.append(errors.duplicate(f"scheduling.tolerations[{index}]", toleration))
    return found


def runtime_class_change(new: Obj, old: Obj) -> Found:
    return frozen(new, old, "handler")

"""Nodes, and the classes that pods name: priorities and runtimes."""

from __future__ import annotations

import ipaddress

from apimachinery import errors, formats
from controlplane.apiserver.rules.values import (
    NOT_NEGATIVE,
    Found,
    Obj,
    amount,
    amounts,
    cidr,
    each,
    frozen,
    name,
)
from controlplane.apiserver.validation import scheduling, shapes

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PREEMPTION = ("PreemptLowerPriority", "Never")
_MOST_PRIORITY = 1_000_000_000
# The classes of the system and their values.
_SYSTEM = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def node(obj: Obj) -> Found:
    spec = obj["spec"]
    found = _taints("spec.taints", spec.get("taints") or [])
    listed = spec.get("podCIDRs") or []
    for index, text in enumerate(listed):
        found += cidr(f"spec.podCIDRs[{index}]", text)
    if len(listed) > 1 and not found:
        versions = [ipaddress.ip_network(text).version for text in listed]
        if len(listed) > 2 or len(set(versions)) == 1:
            text = "may specify no more than one CIDR for each IP family"
            found.append(errors.invalid("spec.podCIDRs", listed, text))
    return found


def _taints(path: str, listed: list[Obj]) -> Found:
    found: Found = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(listed):
        where, key, effect = f"{path}[{index}]", taint.get("key") or "", taint.get("effect") or ""
        found += each(f"{where}.key", key, formats.qualified_name(key))
        value = taint.get("value") or ""
        found += each(f"{where}.value", value, formats.label_value(value))
        if not effect:
            found.append(errors.required(f"{where}.effect"))
        elif effect not in _EFFECTS:
            found.append(errors.not_supported(f"{where}.effect", effect, _EFFECTS))
        if (key, effect) in seen:
            found.append(errors.duplicate(where, {k: v for k, v in taint.items() if v is not None}))
        seen.add((key, effect))
    return found


def node_change(new: Obj, old: Obj) -> Found:
    """What identifies a machine is written once."""
    spec, was = new["spec"], old["spec"]
    found = node(new) + node_status(new, old)
    before = was.get("podCIDRs") or []
    if before and before != (spec.get("podCIDRs") or []):
        text = 'node updates may not change podCIDR except from "" to valid'
        found.append(errors.field_forbidden("spec.podCIDRs", text))
    if was.get("providerID") and was["providerID"] != spec.get("providerID"):
        text = 'node updates may not change providerID except from "" to valid'
        found.append(errors.field_forbidden("spec.providerID", text))
    return found


def node_status(new: Obj, old: Obj) -> Found:
    status = new.get("status") or {}
    found: Found = []
    for field in ("capacity", "allocatable"):
        found += _resources(f"status.{field}", status.get(field) or {})
    known: list[Obj] = []
    for index, address in enumerate(status.get("addresses") or ()):
        if address in known:
            found.append(errors.duplicate(f"status.addresses[{index}]", shapes.shown(shapes.NODE_ADDRESS, address)))
        known.append(address)
    return found


def _resources(path: str, listed: Obj) -> Found:
    """Paths here name a resource as if it were a field, as upstream's do."""
    found: Found = []
    for resource, text in sorted(listed.items()):
        where = f"{path}.{resource}"
        if amount(text) < amount(0):
            found.append(errors.invalid(where, text, NOT_NEGATIVE))
        if "/" in resource and amount(text).milli() % 1000:
            found.append(errors.invalid(where, text, "must be an integer"))
    return found


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

"""What drivers offer: pools, devices with attributes and capacities, and counters that devices share."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apimachinery import errors, formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.defaults.empties import written
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.devices.capacities import policy
from controlplane.apiserver.rules.devices.names import BINDING, DRIVER, pool_name, qualified_name
from controlplane.apiserver.rules.place import Place, Row, Rule
from controlplane.apiserver.rules.shown import struct
from controlplane.apiserver.rules.values import Found, each
from controlplane.apiserver.rules.words import (
    any_form,
    bounded,
    by_path,
    distinct,
    hook,
    immutable,
    name,
    required,
    when,
)

_MOST_DEVICES, _MOST_ADVANCED, _MOST_COUNTER_SETS, _MOST_COUNTERS = 128, 64, 8, 32
_MOST_VALUES, _MOST_ATTRIBUTES, _MOST_TAINTS, _MOST_CONSUMED, _LONGEST_VALUE = 48, 32, 16, 2, 64
_LONGEST_KEY = 63 + 1 + 32
_SCALARS, _LISTS = ("bool", "int", "string", "version"), ("bools", "ints", "strings", "versions")
_OF_SLICE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_OF_DEVICE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to "
    "true in the ResourceSlice spec"
)
_NOT_HERE = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
_PART = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    rf"(-{_PART}(\.{_PART})*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?\Z",
    re.ASCII,
)


# --- where devices are ---


def _node_name(empty: str) -> Rule:
    """A node's name, which is unset or says something."""

    def check(value: Obj, at: Place) -> Found:
        title, path = value["nodeName"], at.to("nodeName")
        if title is None:
            return []
        return each(path, title, formats.dns1123_subdomain(title)) if title else [errors.invalid(path, "", empty)]

    return hook(check, "nodeName")


def _true(field: str) -> Rule:
    def check(value: Obj, at: Place) -> Iterator[FieldError]:
        if value[field] is False:
            yield errors.invalid(at.to(field), False, "must be either unset or set to true")

    return hook(check, field)


def _one_place(fields: tuple[str, ...], none: str, many: str) -> Rule:
    def check(value: Obj, at: Place) -> Iterator[FieldError]:
        given = [f"`{field}`" for field in fields if value.get(field) or (field == "nodeSelector" and field in value)]
        if not given:
            yield errors.required(at.path, none)
        elif len(given) > 1:
            yield errors.invalid(at.path, f"{{{', '.join(given)}}}", many)

    return hook(check)


def _one_term(spec: Obj, at: Place) -> Iterator[FieldError]:
    terms = (spec["nodeSelector"] or {}).get("nodeSelectorTerms") or []
    if len(terms) != 1:
        shown = [struct("core.v1.NodeSelectorTerm", term) for term in terms] or written(
            spec["nodeSelector"] or {}, "nodeSelectorTerms"
        )
        text = "must have exactly one node selector term"
        yield errors.invalid(at.to("nodeSelector.nodeSelectorTerms"), shown, text)


def _one_by_one(device: Obj, at: Place) -> bool:
    return bool(at.above().value.get("perDeviceNodeSelection"))


def _together(device: Obj, at: Place) -> bool:
    return not _one_by_one(device, at)


def _placed(device: Obj, at: Place) -> Iterator[FieldError]:
    if any(device.get(field) is not None for field in ("nodeName", "nodeSelector", "allNodes")):
        yield errors.invalid(at.path, None, _NOT_HERE)


# --- slices ---


def _positive(pool: Obj, at: Place) -> Iterator[FieldError]:
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        yield errors.invalid(at.to("resourceSliceCount"), count, "must be greater than zero")
    if generation < 0:
        yield errors.invalid(at.to("generation"), generation, "must be greater than or equal to zero")


def _pool_stands(spec: Obj, at: Place) -> Iterator[FieldError]:
    title = (spec.get("pool") or {}).get("name") or ""
    if at.old is not None and title != ((at.old.get("pool") or {}).get("name") or ""):
        yield errors.immutable(at.to("pool.name"), title)


def _either(spec: Obj, at: Place) -> Iterator[FieldError]:
    if written(spec, "sharedCounters") is not None and written(spec, "devices") is not None:
        yield errors.invalid(at.path, "", "only one of `sharedCounters` or `devices` is allowed")


def _advanced(spec: Obj, at: Place) -> bool:
    """Slices whose devices need more room each."""
    return any(device.get("taints") or device.get("consumesCounters") for device in spec.get("devices") or ())


def _plain(spec: Obj, at: Place) -> bool:
    return not _advanced(spec, at)


# --- devices ---


def _sizes(device: Obj, at: Place) -> Iterator[FieldError]:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    count = len(attributes) + len(capacity)
    if count > _MOST_ATTRIBUTES:
        text = f"the total number of attributes and capacities must not exceed {_MOST_ATTRIBUTES}"
        yield errors.invalid(at.path, count, text)
    values = sum(max(1, sum(len(each.get(field) or ()) for field in _LISTS)) for each in attributes.values())
    if values > _MOST_VALUES:
        text = f"the total number of attribute values must not exceed {_MOST_VALUES}"
        yield errors.invalid(at.path, values, text)


def _attributes(device: Obj, at: Place) -> Iterator[FieldError]:
    path = at.to("attributes")
    for key, attribute in sorted((device["attributes"] or {}).items()):
        yield from qualified_name(path, key)
        yield from _attribute(f"{path}[{_cut(key)}]", attribute)


def _attribute(path: str, attribute: Obj) -> Iterator[FieldError]:
    for field in ("string", "version"):
        if attribute.get(field) is not None:
            yield from _value(f"{path}.{field}", attribute[field], field == "version")
    for field in _LISTS:
        if attribute.get(field) == []:
            yield errors.invalid(f"{path}.{field}", [], "must not be empty if specified")
        for index, text in enumerate(attribute.get(field) or ()):
            if isinstance(text, str):
                yield from _value(f"{path}.{field}[{index}]", text, field == "versions")
    count = sum(attribute.get(field) is not None for field in _SCALARS + _LISTS)
    if count != 1:
        shown = struct("resource.v1.DeviceAttribute", attribute) if count else ""
        yield errors.invalid(path, shown, "exactly one value must be specified")


def _value(path: str, text: str, version: bool) -> Iterator[FieldError]:
    if version and not _VERSION.match(text):
        yield errors.invalid(path, text, "must be a string compatible with semver.org spec 2.0.0")
    if len(text.encode()) > _LONGEST_VALUE:
        yield errors.too_long(path, _LONGEST_VALUE)


def _cut(key: str) -> str:
    """A key as paths show it: a long one loses its middle."""
    rest = _LONGEST_KEY - len("...")
    return key if len(key) <= _LONGEST_KEY else key[: (rest + 1) // 2] + "..." + key[len(key) - rest // 2 :]


def _capacities(device: Obj, at: Place) -> Iterator[FieldError]:
    path, shared = at.to("capacity"), bool(device.get("allowMultipleAllocations"))
    for key, capacity in sorted((device["capacity"] or {}).items()):
        yield from qualified_name(path, key)
        if capacity.get("requestPolicy") is None:
            continue
        where = f"{path}[{_cut(key)}].requestPolicy"
        if shared:
            yield from policy(where, capacity["requestPolicy"], capacity.get("value") or 0)
        else:
            yield errors.field_forbidden(where, "allowMultipleAllocations must be true")


def _counters(value: Obj, at: Place) -> Iterator[FieldError]:
    for key in sorted(value["counters"] or ()):
        yield from each(at.to("counters"), key, formats.dns1123_label(key))


def _taints_changed(device: Obj, at: Place) -> bool:
    for before in ((at.about.old or {}).get("spec") or {}).get("devices") or ():
        if before.get("name") == device.get("name"):
            return bool(before.get("taints") != device.get("taints"))
    return True


_COUNTERS: Row = (required("counters"), bounded("counters", _MOST_COUNTERS, hook(_counters, "counters")))

RULES: dict[str, Row] = {
    "resource.v1.ResourceSlice": (inside("spec", always=True),),
    "resource.v1.ResourceSliceSpec": (
        DRIVER,
        inside("pool", always=True),
        hook(_pool_stands),
        immutable("driver", "nodeName"),
        _node_name("must be either unset or set to a non-empty string"),
        "nodeSelector",
        hook(_one_term, "nodeSelector"),
        _true("allNodes"),
        _true("perDeviceNodeSelection"),
        _one_place(
            ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"),
            _OF_SLICE,
            f"{_OF_SLICE}, but multiple fields are set",
        ),
        hook(_either),
        when(_plain, bounded("devices", _MOST_DEVICES, "devices", distinct("devices", "name"))),
        when(_advanced, bounded("devices", _MOST_ADVANCED, "devices", distinct("devices", "name"))),
        bounded("sharedCounters", _MOST_COUNTER_SETS, "sharedCounters", distinct("sharedCounters", "name")),
    ),
    "resource.v1.ResourcePool": (by_path("name", pool_name, "required"), hook(_positive)),
    "resource.v1.CounterSet": (name("name", formats.dns1123_label), *_COUNTERS),
    "resource.v1.Device": (
        any_form("name", formats.dns1123_label),
        hook(_sizes),
        hook(_attributes, "attributes"),
        hook(_capacities, "capacity"),
        when(_taints_changed, bounded("taints", _MOST_TAINTS, "taints")),
        bounded("consumesCounters", _MOST_CONSUMED, "consumesCounters", distinct("consumesCounters", "counterSet")),
        when(
            _one_by_one,
            _node_name("must not be empty"),
            "nodeSelector",
            _true("allNodes"),
            _one_place(("nodeName", "nodeSelector", "allNodes"), _OF_DEVICE, _OF_DEVICE),
        ),
        when(_together, hook(_placed)),
        *BINDING,
    ),
    "resource.v1.DeviceCounterConsumption": (name("counterSet", formats.dns1123_label), *_COUNTERS),
}

"""Devices: what is behind feature gates that are off, and what ends with an allocation."""

from __future__ import annotations

from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now
from controlplane.apiserver import defaults
from controlplane.apiserver.catalog.strategy import keep_spec
from controlplane.apiserver.rules.devices.allocation import identity

_LISTS = ("bools", "ints", "strings", "versions")


def _devices(resource_slice: Obj) -> list[Obj]:
    return resource_slice["spec"].get("devices") or []


def _attributes(resource_slice: Obj) -> list[Obj]:
    return [attribute for device in _devices(resource_slice) for attribute in (device.get("attributes") or {}).values()]


def _has_lists(resource_slice: Obj) -> bool:
    return any(field in attribute for attribute in _attributes(resource_slice) for field in _LISTS)


def _has_mappings(resource_slice: Obj) -> bool:
    return any(device.get("nodeAllocatableResourceMappings") for device in _devices(resource_slice))


def slice_default(resource_slice: Obj) -> None:
    """A taint is dated by whoever sets it, or by when it first came here."""
    defaults.apply(resource_slice)
    for device in _devices(resource_slice):
        for taint in device.get("taints") or ():
            taint.setdefault("timeAdded", format_time(now()))


def slice_created(new: Obj) -> None:
    """DRAListTypeAttributes and DRANodeAllocatableResources are off."""
    _without_lists(new)
    _without_mappings(new)


def slice_changed(new: Obj, old: Obj) -> None:
    """What is in use stays usable."""
    if not _has_lists(old):
        _without_lists(new)
    if not _has_mappings(old):
        _without_mappings(new)


def _without_lists(resource_slice: Obj) -> None:
    for attribute in _attributes(resource_slice):
        for field in _LISTS:
            attribute.pop(field, None)


def _without_mappings(resource_slice: Obj) -> None:
    for device in _devices(resource_slice):
        device.pop("nodeAllocatableResourceMappings", None)


def claim_status(new: Obj, old: Obj) -> None:
    """What drivers told of devices goes with their allocation."""
    keep_spec(new, old)
    status = new.get("status") or {}
    freed = _allocated(old.get("status") or {}) - _allocated(status)
    kept = [device for device in status.get("devices") or () if identity(device) not in freed]
    if kept:
        status["devices"] = kept
    else:
        status.pop("devices", None)


def _allocated(status: Obj) -> set[tuple[str, ...]]:
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    return {identity(result) for result in results}

"""Ownership seen through the scale subresource: only `spec.replicas`, under the name of another kind, which a custom
resource may have elsewhere.

A write to `scale` is tracked on a Scale object and then carried back: who owns replicas there owns it on the parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from apimachinery.apply.fieldset import Fields, difference, intersection, of_paths
from apimachinery.apply.managers import UPDATE, Key, Managed, Managers, decode, encode

__all__ = ["to_parent", "to_scale"]

SCALE_VERSION = "autoscaling/v1"
PLACE = ("spec", "replicas")
REPLICAS: Fields = of_paths([("f:spec", "f:replicas")])


def _at(place: Sequence[str]) -> Fields:
    return of_paths([tuple(f"f:{name}" for name in place)])


def to_scale(entries: Sequence[dict[str, Any]] | None, place: Sequence[str] = PLACE) -> list[dict[str, Any]]:
    """The `managedFields` of an object's Scale: its owners of replicas. place: where the object has them."""
    found: Managers = {}
    for key, managed in _read(entries).items():
        if intersection(managed.fields, _at(place)):
            found[_versioned(key, SCALE_VERSION)] = Managed(REPLICAS, SCALE_VERSION, managed.time)
    return encode(found)


def to_parent(
    entries: Sequence[dict[str, Any]] | None,
    scale_entries: Sequence[dict[str, Any]] | None,
    api_version: str,
    place: Sequence[str] = PLACE,
) -> list[dict[str, Any]]:
    """An object's `managedFields` after its Scale was written: `scale_entries` say who owns replicas now."""
    replicas = _at(place)
    owners = {_versioned(key, api_version): managed for key, managed in _read(scale_entries).items()}
    found: Managers = {}
    for key, managed in _read(entries).items():
        if not intersection(managed.fields, replicas):
            found[key] = managed
        elif _versioned(key, api_version) in owners:
            del owners[_versioned(key, api_version)]
            found[key] = managed
        elif left := difference(managed.fields, replicas):
            found[key] = replace(managed, fields=left)
    # As upstream, who comes to own replicas through the scale does so without a time.
    for key in owners:
        found[key] = Managed(replicas, api_version)
    return encode(found)


def _read(entries: Sequence[dict[str, Any]] | None) -> Managers:
    try:
        return decode(entries)
    except ValueError:
        return {}


def _versioned(key: Key, api_version: str) -> Key:
    return replace(key, api_version=api_version) if key.operation == UPDATE else key

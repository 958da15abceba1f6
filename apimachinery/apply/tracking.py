"""Ownership after any write that is no apply: who changed a field owns it, and nobody else does any more."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from apimachinery.apply import conflicts
from apimachinery.apply.compare import Comparison, compare
from apimachinery.apply.fieldset import (
    Fields,
    difference,
    intersection,
    of_paths,
    recursive_difference,
    union,
)
from apimachinery.apply.managers import (
    UPDATE,
    Key,
    Managed,
    Managers,
    bounded,
    decode,
    encode,
    is_reset,
    stamped,
)
from apimachinery.schema import Node

__all__ = ["bare", "known_managers", "record_update", "settle", "track_update", "tracked", "zero_object"]

Obj = dict[str, Any]

# Set by the machinery itself; nobody owns them.
UNTRACKED = of_paths(
    [
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        ),
    ]
)


def track_update(
    live: Obj | None,
    new: Obj,
    *,
    manager: str,
    node: Node,
    now: datetime.datetime,
    subresource: str = "",
    ignored: Iterable[tuple[str, ...]] = (),
) -> list[Obj]:
    """The `managedFields` that `new` gets when `manager` writes it over `live` (None: creates it).

    `ignored` are the fields that this endpoint cannot change, as paths of names: ("status",) for the main one. Neither
    object is changed. Entries stay as they are, times included, when nothing changed.
    """
    managers = _managers_of(live, new, bool(subresource))
    if not managers and live is not None and (live.get("metadata") or {}).get("uid"):
        # An object whose owners nobody ever recorded stays so, until somebody applies to it.
        return []
    version = new.get("apiVersion", "")
    key = Key(manager, UPDATE, version, subresource)
    old = bare(live) if live is not None else zero_object(node, new)
    return encode(bounded(record_update(managers, key, version, old, bare(new), node, now, ignored)))


def record_update(
    managers: Managers,
    key: Key,
    version: str,
    old: Obj,
    new: Obj,
    node: Node,
    now: datetime.datetime,
    ignored: Iterable[tuple[str, ...]] = (),
) -> Managers:
    """Managers after an update from `old` to `new`, both without managedFields."""
    found = tracked(compare(node, old, new), ignored)
    result, _ = settle(managers, None, found)
    mine = difference(found.changed, UNTRACKED)
    if mine:
        before = result[key].fields if key in result else {}
        result[key] = stamped(Managed(union(mine, before), version), now)
    return {one: managed for one, managed in result.items() if managed.fields}


def settle(managers: Managers, applier: Key | None, found: Comparison) -> tuple[Managers, conflicts.Conflicts]:
    """Managers after losing what changed or went, and what the others lost because it changed."""
    result: Managers = {}
    lost: conflicts.Conflicts = {}
    changed = found.changed
    for key, managed in managers.items():
        fields = managed.fields
        if key != applier:
            if taken := intersection(fields, changed):
                lost[key] = taken
                fields = difference(fields, taken)
            fields = difference(fields, found.removed)
        if fields:
            result[key] = Managed(fields, managed.api_version, managed.time)
    return result, lost


def tracked(found: Comparison, ignored: Iterable[tuple[str, ...]]) -> Comparison:
    """A comparison without the fields that the endpoint does not touch."""
    out = of_paths(tuple(f"f:{name}" for name in path) for path in ignored)
    if not out:
        return found
    return Comparison(
        recursive_difference(found.added, out),
        recursive_difference(found.modified, out),
        recursive_difference(found.removed, out),
    )


def without_untracked(fields: Fields, ignored: Iterable[tuple[str, ...]]) -> Fields:
    """What of a set can be owned through an endpoint."""
    out = of_paths(tuple(f"f:{name}" for name in path) for path in ignored)
    return difference(recursive_difference(fields, out) if out else fields, UNTRACKED)


def bare(obj: Obj) -> Obj:
    """The object without its managedFields; everything else is shared."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def zero_object(node: Node, like: Obj) -> Obj:
    """What an object is before anybody set a field: only what its type always writes."""
    from apimachinery.schema.presence import presence

    zero = {name: make() for name, make in presence(node).filled}
    return {"apiVersion": like.get("apiVersion", ""), "kind": like.get("kind", ""), **zero}


def known_managers(obj: Obj | None) -> Managers:
    """An object's managers; none when its entries cannot be read."""
    try:
        return decode(((obj or {}).get("metadata") or {}).get("managedFields"))
    except ValueError:
        return {}


def _managers_of(live: Obj | None, new: Obj, subresource: bool) -> Managers:
    """Where a write starts from: the entries it brings, if it may bring any, else the live ones."""
    entries = (new.get("metadata") or {}).get("managedFields")
    if live is None:
        return {}
    if subresource:
        return known_managers(live)
    if is_reset(entries):
        return {}
    return known_managers(new) or known_managers(live)

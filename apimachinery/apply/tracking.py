"""Ownership after any write that is no apply: who changed a field owns it, and nobody else does any more."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from apimachinery.apply import conflicts
from apimachinery.apply.births import UNTRACKED, bare, owned_at_birth, zero_object
from apimachinery.apply.fieldset import Fields, difference, intersection, of_names, recursive_difference, union
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
from apimachinery.apply.typed import NotTyped
from apimachinery.apply.versions import Comparisons, Versions
from apimachinery.objects import Obj
from apimachinery.schema import Node

__all__ = ["known_managers", "owned", "record_update", "settle", "track_update"]


def track_update(
    live: Obj | None,
    new: Obj,
    *,
    manager: str,
    node: Node,
    now: datetime.datetime,
    subresource: str = "",
    ignored: Iterable[tuple[str, ...]] = (),
    versions: Versions | None = None,
) -> list[Obj]:
    """The `managedFields` that `new` gets when `manager` writes it over `live` (None: creates it).

    `ignored` are the fields that this endpoint cannot change, as paths of names: ("status",) for the main one;
    `versions` knows the kind's other versions, for managers that spoke them. Entries that `new` brings are
    kept. Neither object is changed. Entries stay as they are, times included, when nothing changed. Where an item
    of a keyed list has none of its keys, every owner is forgotten.
    """
    try:
        return _tracked(live, new, manager, node, now, subresource, ignored, versions)
    except NotTyped:
        return []


def _tracked(
    live: Obj | None,
    new: Obj,
    manager: str,
    node: Node,
    now: datetime.datetime,
    subresource: str,
    ignored: Iterable[tuple[str, ...]],
    versions: Versions | None,
) -> list[Obj]:
    version = new.get("apiVersion", "")
    key = Key(manager, UPDATE, version, subresource)
    managers = _managers_of(live or {}, new, bool(subresource))
    if any(managed.api_version.count("/") > 1 for managed in managers.values()):
        # Upstream cannot compare in a version that it cannot read, and forgets every owner.
        return []
    if live is None and managers:
        changed = record_update(managers, key, version, zero_object(node, new), bare(new), node, now, ignored, versions)
        return encode(bounded(changed))
    if live is None:
        born = owned_at_birth(node, new, version, tuple(ignored))
        return encode({key: stamped(born, now)} if born.fields else {})
    if not managers and (live.get("metadata") or {}).get("uid"):
        # An object whose owners nobody ever recorded stays so, until somebody applies to it.
        return []
    changed = record_update(managers, key, version, bare(live), bare(new), node, now, ignored, versions)
    return encode(bounded(changed))


def record_update(
    managers: Managers,
    key: Key,
    version: str,
    old: Obj,
    new: Obj,
    node: Node,
    now: datetime.datetime,
    ignored: Iterable[tuple[str, ...]] = (),
    versions: Versions | None = None,
) -> Managers:
    """Managers after an update from `old` to `new`, both without managedFields."""
    found = Comparisons(node, old, new, version, ignored, versions)
    result, _ = settle(managers, None, found)
    mine = difference(found.own.changed, UNTRACKED)
    if mine:
        before = result[key].fields if key in result else {}
        result[key] = stamped(Managed(union(mine, before), version), now)
    return {one: managed for one, managed in result.items() if managed.fields}


def settle(managers: Managers, applier: Key | None, found: Comparisons) -> tuple[Managers, conflicts.Conflicts]:
    """Managers after losing what changed or went, and what the others lost because it changed.

    Managers of a version that the kind no longer has are forgotten.
    """
    result: Managers = {}
    lost: conflicts.Conflicts = {}
    for key, managed in managers.items():
        fields = managed.fields
        if key != applier:
            difference_there = found.at(managed.api_version)
            if difference_there is None:
                continue
            if taken := intersection(fields, difference_there.changed):
                lost[key] = taken
                fields = difference(fields, taken)
            if intersection(fields, difference_there.removed):
                fields = difference(fields, difference_there.removed)
        if fields is managed.fields:
            result[key] = managed
        elif fields:
            result[key] = Managed(fields, managed.api_version, managed.time)
    return result, lost


def owned(fields: Fields, ignored: Iterable[tuple[str, ...]]) -> Fields:
    """What of a set an endpoint can change."""
    out = of_names(tuple(ignored))
    return recursive_difference(fields, out) if out else fields


def known_managers(obj: Obj | None, *, stored: bool = False) -> Managers:
    """An object's managers; none when its entries cannot be read. `stored`: it comes from the store as it is."""
    try:
        return decode(((obj or {}).get("metadata") or {}).get("managedFields"), stored=stored)
    except ValueError:
        return {}


def _managers_of(live: Obj, new: Obj, subresource: bool) -> Managers:
    """Where a write starts from: the entries it brings, if it may bring any, else the live ones."""
    entries = (new.get("metadata") or {}).get("managedFields")
    if subresource:
        return known_managers(live, stored=True)
    if is_reset(entries):
        return {}
    if entries == (live.get("metadata") or {}).get("managedFields"):
        return known_managers(live, stored=True)
    return known_managers(new) or known_managers(live, stored=True)

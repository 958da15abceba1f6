"""Apply: merge a manager's configuration into the live object, take away what it no longer wants, settle ownership."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from apimachinery import errors, jsontext
from apimachinery.apply import conflicts, migration
from apimachinery.apply.births import UNTRACKED, bare, zero_object
from apimachinery.apply.fieldset import difference
from apimachinery.apply.managers import APPLY, UPDATE, Key, Managed, Managers, decode, encode, stamped
from apimachinery.apply.merge import merge
from apimachinery.apply.pruning import Pruning
from apimachinery.apply.tracking import owned, record_update, settle
from apimachinery.apply.typed import NotTyped, field_set, problems
from apimachinery.apply.versions import Comparisons, Versions
from apimachinery.objects import Obj
from apimachinery.schema import Node

__all__ = ["apply"]


# Who owns what was there before anybody's ownership was recorded.
BEFORE = "before-first-apply"


def apply(
    live: Obj | None,
    applied: Obj,
    *,
    manager: str,
    node: Node,
    now: datetime.datetime,
    force: bool = False,
    subresource: str = "",
    ignored: Iterable[tuple[str, ...]] = (),
    versions: Versions | None = None,
) -> Obj:
    """The live object (None: there is none yet) with `applied` merged in, and its managedFields.

    Raises errors.Conflict when another manager owns a field that would change and `force` is not set, BadRequest for an
    object that carries managedFields, ApiError (500) for one that is not of its type. The result shares nothing with
    the arguments and is not yet checked or defaulted. `ignored` and `versions`: see track_update.
    """
    if (applied.get("metadata") or {}).get("managedFields") is not None:
        raise errors.BadRequest("metadata.managedFields must be nil")
    applied = _copied(bare(applied))
    if wrong := problems(node, applied):
        raise errors.ApiError(f"failed to create typed patch object ({_named(applied)}): {_listed(wrong)}")
    request = _Request(live, applied, manager, node, now, subresource, tuple(ignored), versions)
    try:
        return request.carried_out(force)
    except NotTyped:
        why = _listed(problems(node, request.live, duplicates=True))
        raise errors.ApiError(f"failed to create typed live object ({_named(request.live)}): {why}") from None
    except errors.Conflict:
        allowed = migration.allowed_fields(request.live, node) if manager == migration.KUBECTL else {}
        if not allowed:
            raise
        if left := {key: rest for key, lost in request.lost.items() if (rest := difference(lost, allowed))}:
            raise conflicts.error(left, request.managers) from None
        return request.carried_out(force=True)


class _Request:
    """One apply: what is known before merging, so that it can be tried again with force."""

    def __init__(
        self,
        live: Obj | None,
        applied: Obj,
        manager: str,
        node: Node,
        now: datetime.datetime,
        subresource: str,
        ignored: tuple[tuple[str, ...], ...],
        versions: Versions | None,
    ) -> None:
        self.applied, self.node, self.now, self.ignored, self.versions = applied, node, now, ignored, versions
        self.manager, self.subresource = manager, subresource
        self.version = applied.get("apiVersion", "")
        self.key = Key(manager, APPLY, "", subresource)
        self.live = bare(live) if live is not None else zero_object(node, applied)
        self.managers = _owners(live, self.live, node, now, subresource, ignored)
        self.lost: conflicts.Conflicts = {}

    def carried_out(self, force: bool) -> Obj:
        former = self.managers.get(self.key)
        mine = Managed(owned(field_set(self.node, self.applied), self.ignored), self.version)
        managers: Managers = {**self.managers, self.key: mine}
        merged = _copied(merge(self.node, self.live, self.applied))
        if former is not None and former.fields:
            merged = Pruning(self.node, self.version, managers, self.versions).pruned(merged, former)
        found = Comparisons(self.node, self.live, merged, self.version, self.ignored, self.versions)
        managers, self.lost = settle(managers, self.key, found)
        if self.lost and not force:
            raise conflicts.error(self.lost, self.managers)
        # What the machinery sets itself counted so far, lest it be taken away with its last owned neighbour.
        if left := difference(mine.fields, UNTRACKED):
            kept = Managed(left, self.version, former.time if former else None)
            managers[self.key] = kept if found.same else stamped(kept, self.now)
        else:
            managers.pop(self.key, None)
        if self.manager == migration.KUBECTL and not self.subresource:
            migration.refresh(merged, self.applied)
        if entries := encode(managers):
            merged.setdefault("metadata", {})["managedFields"] = entries
        return merged


def _owners(
    live: Obj | None,
    plain: Obj,
    node: Node,
    now: datetime.datetime,
    subresource: str,
    ignored: tuple[tuple[str, ...], ...],
) -> Managers:
    """The live object's managers; what stood there before the first apply belongs to the past."""
    if live is None:
        return {}
    try:
        managers = decode((live.get("metadata") or {}).get("managedFields"))
    except ValueError as error:
        raise errors.ApiError(f"failed to decode managed fields: {error}") from None
    if managers:
        return managers
    version = live.get("apiVersion", "")
    key = Key(BEFORE, UPDATE, version, subresource)
    try:
        return record_update({}, key, version, zero_object(node, live), plain, node, now, ignored)
    except NotTyped:
        wrong = _listed(problems(node, plain, duplicates=True))
        why = f"failed to convert new object ({_named(live)}) to smd typed: {wrong}"
        raise errors.ApiError(f"failed to create manager for existing fields: {why}") from None


def _copied(value: Obj) -> Obj:
    result: Obj = jsontext.copied(value)
    return result


def _named(obj: Obj) -> str:
    metadata = obj.get("metadata") or {}
    group, _, version = obj.get("apiVersion", "").rpartition("/")
    namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
    return f"{namespace}/{name}; {group}/{version}, Kind={obj.get('kind', '')}"


def _listed(wrong: list[str]) -> str:
    return wrong[0] if len(wrong) == 1 else "errors:\n" + "\n".join(f"  {one}" for one in wrong)

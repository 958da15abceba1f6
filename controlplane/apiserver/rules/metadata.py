"""Rules of ObjectMeta, for every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery import errors
from apimachinery.objectmeta import (
    check,
    check_annotations,
    check_finalizers,
    check_labels,
    check_managers,
    check_owners,
    check_stem,
)
from apimachinery.objects import Obj
from controlplane.apiserver.catalog.strategy import MetadataCheck
from controlplane.apiserver.rules.place import Found

STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))


def validate(obj: Obj, namespaced: bool, check_name: Callable[[str], tuple[str, ...]], plain: bool = False) -> Found:
    """Errors of a new object's metadata. plain: its finalizers may have any name."""
    meta = obj["metadata"]
    found = check(meta, "metadata", namespaced, check_name)
    return found if plain else found + check_own_finalizers(meta.get("finalizers") or [], "metadata.finalizers")


def validate_change(
    new: Obj, old: Obj, checks: Sequence[MetadataCheck], check_name: Callable[[str], tuple[str, ...]]
) -> Found:
    """Errors of a changed object's metadata.

    Upstream looks at it as that of any object, as a change of any object, and then as its kind has it; what each finds
    is listed.
    """
    meta = new["metadata"]
    finalizers = meta.get("finalizers") or []
    said = check_labels(meta.get("labels") or {}, "metadata.labels")
    said += check_annotations(meta.get("annotations") or {}, "metadata.annotations")
    said += check_owners(meta.get("ownerReferences") or [], "metadata.ownerReferences")
    listed = check_finalizers(finalizers, "metadata.finalizers")
    own = check_own_finalizers(finalizers, "metadata.finalizers")
    managed = check_managers(meta.get("managedFields") or [], "metadata.managedFields")
    changed = _changes(meta, old["metadata"])
    stem = check_stem(meta, "metadata", check_name)
    new_one, change = [*stem, *said, *listed, *managed], [*changed, *said, *managed]
    kinds: dict[MetadataCheck, Found] = {"plain new": new_one, "plain change": change}
    kinds |= {"new": [*new_one, *own], "change": [*change, *own]}
    return [*said, *listed, *managed, *change, *(error for check in checks for error in kinds[check])]


def _changes(meta: Obj, stored: Obj) -> Found:
    found: Found = []
    if "deletionTimestamp" in stored:
        known = set(stored.get("finalizers") or ())
        added = [f for f in meta.get("finalizers") or () if f not in known]
        if added:
            shown = "[]string{" + ", ".join(f'"{f}"' for f in sorted(added)) + "}"
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            found.append(errors.field_forbidden("metadata.finalizers", text))
    for key in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if meta.get(key) is not None and meta[key] != stored.get(key):
            found.append(errors.immutable(f"metadata.{key}", meta[key]))
    return found


def check_own_finalizers(values: list[str], path: str) -> Found:
    """A finalizer of a built-in kind is a well-known one or says whose it is."""
    text = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        errors.invalid(f"{path}[{index}]", value, text)
        for index, value in enumerate(values)
        if "/" not in value and value not in STANDARD_FINALIZERS
    ]

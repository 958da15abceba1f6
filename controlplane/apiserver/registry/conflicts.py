"""What stands in the way of a write: a newer version, another object of the name, a wish that is not met."""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apimachinery.kinds import NAMESPACE, Kind
from apimachinery.objects import Obj
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.registry import metadata
from controlplane.store import StoreError, Unavailable


def conflict(kind: Kind, name: str) -> errors.ApiError:
    return errors.conflict(kind.plural, name, errors.MODIFIED, kind.group)


def unreachable(error: StoreError) -> errors.ApiError:
    """The store does not answer; what it may have done all the same is told apart from what it has not."""
    if isinstance(error, Unavailable) and not error.unsure:
        return errors.ServiceUnavailable(str(error), retry_after=1)
    if isinstance(error, Unavailable):
        return errors.Timeout(str(error), retry_after=1)
    return errors.InternalError(f"Internal error occurred: {error}")


def unlike(
    row: Resource, namespace: str, name: str, wanted: Any, stored: str, what: str = "UID", dry_run: bool = False
) -> errors.ApiError:
    """What is stored has another UID or ResourceVersion than the writer asks for; a trial's key does not begin at the
    store's.
    """
    kind, where = row.kind, f"{namespace}/{name}" if namespace else name
    text = (
        f"StorageError: invalid object, Code: 4, Key: {'' if dry_run else '/registry'}/{row.folder}/{where}, "
        "ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: {what} in precondition: {wanted}, "
        f"{what} in object meta: {stored}"
    )
    return errors.conflict(kind.plural, name, text, kind.group)


def exists(kind: Kind, given: Obj, found: Entry | None) -> errors.ApiError:
    """The name of a new object is taken, by `found` where it is known."""
    error = errors.already_exists(kind.plural, given["name"], kind.group)
    if found is not None and "deletionTimestamp" in found.obj["metadata"]:
        error.message = f"object is being deleted: {error.message}"
    if given.get("generateName"):
        error.message += ", the server was not able to generate a unique name for the object"
        error.retry_after = 1
    return error


def check_pins(kind: Kind, new: Obj, old: Entry, needed: bool) -> None:
    """The resourceVersion that the new object names must be the stored one (Conflict); needed: it must name one."""
    wanted = metadata.of(new).get("resourceVersion") or ""
    if wanted and not (wanted.isascii() and wanted.isdigit()):
        raise errors.ApiError(f"strconv.ParseUint: parsing {errors.quoted(wanted)}: invalid syntax")
    if needed and wanted in ("", "0"):
        # Upstream names the resource here, not the kind.
        problem = errors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise errors.invalid_object(kind.plural, old.name, [problem], kind.group)
    if wanted not in ("", "0", str(old.revision)):
        raise conflict(kind, old.name)


_OTHER = (
    ("uid", "UID", "deleted and then recreated"),
    ("resourceVersion", "ResourceVersion", "modified"),
)


def check_preconditions(kind: Kind, stored: Obj, options: Obj) -> None:
    """What DeleteOptions say of the object as it is stored must hold (Conflict)."""
    wanted, found = options.get("preconditions") or {}, stored["metadata"]
    for key, word, fate in _OTHER:
        asked, there = wanted.get(key), found[key]
        if asked is None or asked == there:
            continue
        if kind == NAMESPACE:
            why = f"Precondition failed: {word} in precondition: {asked}, {word} in object meta: {there}"
            raise errors.conflict(kind.plural, found["name"], why)
        why = f"the {word} in the precondition ({asked}) does not match the {word} in record ({there})"
        # Upstream names the kind here, not the resource.
        raise errors.conflict(kind.kind, found["name"], f"{why}. The object might have been {fate}", kind.group)

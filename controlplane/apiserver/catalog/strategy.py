"""What may differ from kind to kind in the life of an object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from apimachinery import formats
from apimachinery.errors import FieldError
from apimachinery.objects import Obj, copy
from controlplane.apiserver import defaults
from controlplane.store import Op

Warn = Callable[[str], None]
Check = Callable[["Obj", "Obj | None", str, list[FieldError], Warn], list[FieldError]]
Paths = tuple[tuple[str, ...], ...]


def _keep(obj: Obj) -> None:
    return None


def _keep_both(new: Obj, old: Obj) -> None:
    return None


def _quiet(new: Obj, old: Obj | None) -> Iterable[str]:
    return ()


def _say_nothing(obj: Obj) -> Iterable[str]:
    return ()


def _no_more(new: Obj, old: Obj | None, subresource: str, found: list[FieldError], warn: Warn) -> list[FieldError]:
    return found


def _any(name: str) -> str:
    return ""


def _never(obj: Obj) -> bool:
    return False


def keep_spec(new: Obj, old: Obj) -> None:
    """A status write changes nothing but the status."""
    status = new.get("status")
    for key in [k for k in new if k not in ("metadata", "kind", "apiVersion")]:
        del new[key]
    new.update({k: v for k, v in old.items() if k not in ("metadata", "kind", "apiVersion", "status")})
    if status is not None:
        new["status"] = status


def read_back(obj: Obj) -> None:
    """A `finish`: the object's defaults once more, by what it has by now. Parts of it may have been put back from the
    old object, which others read meanwhile.
    """
    obj.update(copy(obj))
    defaults.apply(obj)


class Reservation:
    """Things taken outside the object (addresses, ports) that a failed write must give back.

    writes: what has to be written in the same transaction, so that no other server takes them, too.
    """

    writes: Sequence[Op] = ()

    async def begin(self) -> None:
        """The transaction comes next; may wait. Raises ApiError where what was taken is not to be had after all."""

    def end(self) -> None:
        """The transaction that was begun is through, whatever became of it."""

    def keep(self, revision: int) -> None:
        """The write succeeded, at a revision."""

    def release(self) -> None:
        """The write failed or was a dry run."""

    def lost(self, key: str, current: int) -> None:
        """The transaction was refused: something stands under a key of writes (or under another's) at a revision."""


def _reserve_nothing(new: Obj | None, old: Obj | None, dry_run: bool) -> Reservation:
    return Reservation()


# How upstream's validation of a kind looks at metadata, beside what it asks of every object: as that of a new object or
# of a change, each with or without ("plain") the rule on finalizers of built-in kinds.
MetadataCheck = Literal["new", "change", "plain new", "plain change"]
CHANGE_THEN_NEW: tuple[MetadataCheck, ...] = ("change", "new")
NEW_THEN_CHANGE: tuple[MetadataCheck, ...] = ("new", "change")

# What becomes of an object's dependents when its deletion does not say.
Dependents = Literal["go", "stay", "unheard"]

# What no write of the status can change, where a kind says so.
OWN_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")


@dataclass(frozen=True)
class Strategy:
    """Every function gets private objects it may change in place, except old.

    default: upstream's defaulting of the versioned type, also run over what a patch produced.
    check: all that is wrong with an object, beside what the rules of its type and of its metadata have found: new, old
    (None: it is new), subresource, found, and who is told of what is wrong but was before. May raise Unfinished where
    others wait for it: it is begun once more beside the loop.
    closed: why no new ones are let in, "" where they are.
    settle: the last touch after ownership is written down, of what is owned empty and stored as nothing.
    prepare_create, prepare_update, prepare_status, prepare_finalize: what upstream's strategy resets before
    validation.
    finish: the last touch of an object once it is valid, as upstream makes it when it reads what it stored; by then
    parts of it may be the old one's, and are not changed in place.
    deleting: what is changed with the deletion timestamp. holds: the object may not be removed yet.
    check_name: what it may be called (what it must be like is in rules/).
    warn, warn_status, warn_deleted, warn_sent: what its author is told of a valid write, of one of its status, of a
    deletion with these options, of a new object as it was sent.
    generation: metadata.generation is kept by the server and counts spec changes. generation_stands: it is 1 for
    good. counts_annotations, counts_labels: a change of these counts as one of the spec. counts_dropped: so does what
    prepare_update takes back. counts_status: so does a change of the status. counts_empties: so does a list or map
    that is written empty where there is none.
    keep_status_on_create: a new object may bring its status.
    plain_metadata: finalizers of a new object may have any name.
    metadata_checks, status_metadata_checks: how the metadata of a change is looked at, once for each.
    status_keeps: the metadata that a write of the status cannot change.
    unowned: by subresource, where it is not its spec or its status: the fields that nobody comes to own there.
    names_version: a change must say which version of the object it changes.
    create_on_update: PUT makes what is not there.
    dependents: whether they go after it or stay unless its deletion says otherwise; unheard: it never waits for any.
    returns_deleted: DELETE answers with the object instead of a Status.
    undeletable: why the object of a name cannot be deleted by itself, "" where it can.
    grace: seconds an object is to live on after DELETE (asked: gracePeriodSeconds or None); None is at once.
    reserve: take what the object needs from cluster-wide pools, filling it in.
    trial: the strategy that prepares dry runs, where that is another.
    weight: how many bytes of others a byte of it is worth in work, where its expressions are compiled or
        a schema has much to set or to try.
    """

    default: Callable[[Obj], None] = defaults.apply
    settle: Callable[[Obj], None] = defaults.settle
    check: Check = _no_more
    closed: str = ""
    prepare_create: Callable[[Obj], None] = _keep
    prepare_update: Callable[[Obj, Obj], None] = _keep_both
    prepare_status: Callable[[Obj, Obj], None] = keep_spec
    prepare_finalize: Callable[[Obj, Obj], None] = _keep_both
    finish: Callable[[Obj], None] = _keep
    deleting: Callable[[Obj], None] = _keep
    holds: Callable[[Obj], bool] = _never
    check_name: Callable[[str], tuple[str, ...]] = formats.dns1123_subdomain
    warn: Callable[[Obj, Obj | None], Iterable[str]] = _quiet
    warn_status: Callable[[Obj, Obj], Iterable[str]] = _quiet
    warn_deleted: Callable[[Obj], Iterable[str]] = _say_nothing
    warn_sent: Callable[[Obj], Iterable[str]] = _say_nothing
    trial: Strategy | None = None
    weight: int = 1
    generation: bool = False
    generation_stands: bool = False
    counts_annotations: bool = False
    counts_labels: bool = False
    counts_dropped: bool = False
    counts_empties: bool = False
    counts_status: bool = False
    keep_status_on_create: bool = False
    plain_metadata: bool = False
    metadata_checks: tuple[MetadataCheck, ...] = ("change",)
    status_metadata_checks: tuple[MetadataCheck, ...] = ("change",)
    status_keeps: tuple[str, ...] = ()
    unowned: Mapping[str, Paths] = field(default_factory=dict)
    names_version: bool = False
    create_on_update: bool = False
    dependents: Dependents = "go"
    returns_deleted: bool = False
    undeletable: Callable[[str], str] = _any
    grace: Callable[[Obj, int | None], int] | None = None
    reserve: Callable[[Obj | None, Obj | None, bool], Reservation] = _reserve_nothing

    def told(self, subresource: str) -> Callable[[Obj, Obj], Iterable[str]]:
        """What the author of a change by way of a subresource hears; one that changes a part of an object is quiet."""
        return {"": self.warn, "scale": self.warn, "status": self.warn_status}.get(subresource, _quiet)


PLAIN = Strategy()

"""What may differ from kind to kind in the life of an object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apimachinery import formats
from apimachinery.errors import FieldError
from controlplane.apiserver.request import Obj


def _keep(obj: Obj) -> None:
    return None


def _keep_both(new: Obj, old: Obj) -> None:
    return None


def _fine(obj: Obj) -> list[FieldError]:
    return []


def _fine_both(new: Obj, old: Obj) -> list[FieldError]:
    return []


def _quiet(new: Obj, old: Obj | None) -> Sequence[str]:
    return ()


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


class Reservation:
    """Things taken outside the object (addresses, ports) that a failed write must give back."""

    def keep(self) -> None:
        """The write succeeded."""

    def release(self) -> None:
        """The write failed or was a dry run."""


def _reserve_nothing(new: Obj | None, old: Obj | None, dry_run: bool) -> Reservation:
    return Reservation()


@dataclass(frozen=True)
class Strategy:
    """Every function gets private objects it may change in place, except old and what validation is given.

    default: upstream's defaulting of the versioned type, also run over what a patch produced.
    settle: the last touch after ownership is written down, of what is owned empty and stored as nothing.
    prepare_create/prepare_update/prepare_status: what upstream's strategy resets before validation.
    prepare_finalize: the same for the finalize subresource.
    deleting: what is changed with the deletion timestamp; holds: the object may not be removed yet.
    validate*: upstream's field errors, in upstream's order.
    validate_as, validate_update_as: the same for objects written in another version than the stored one.
    generation: metadata.generation is kept by the server and counts spec changes.
    generation_stands: it is 1 for good.
    counts_annotations: a change of annotations counts as one of the spec.
    has_status: status is split off: create and update drop or keep it, only the subresource changes it.
    returns_deleted: DELETE answers with the object instead of a Status.
    grace: seconds an object is to live on after DELETE (asked: gracePeriodSeconds or None); None is at once.
    reserve: take what the object needs from cluster-wide pools, filling it in.
    """

    default: Callable[[Obj], None] = _keep
    settle: Callable[[Obj], None] = _keep
    prepare_create: Callable[[Obj], None] = _keep
    prepare_update: Callable[[Obj, Obj], None] = _keep_both
    prepare_status: Callable[[Obj, Obj], None] = keep_spec
    prepare_finalize: Callable[[Obj, Obj], None] = _keep_both
    deleting: Callable[[Obj], None] = _keep
    holds: Callable[[Obj], bool] = _never
    validate: Callable[[Obj], list[FieldError]] = _fine
    validate_as: Callable[[Obj, str], list[FieldError]] | None = None
    validate_update_as: Callable[[Obj, Obj, str], list[FieldError]] | None = None
    validate_update: Callable[[Obj, Obj], list[FieldError]] = _fine_both
    validate_approval: Callable[[Obj, Obj], list[FieldError]] = _fine_both
    validate_finalize: Callable[[Obj, Obj], list[FieldError]] = _fine_both
    validate_status: Callable[[Obj, Obj], list[FieldError]] = _fine_both
    warn: Callable[[Obj, Obj | None], Sequence[str]] = _quiet
    check_name: Callable[[str], tuple[str, ...]] = formats.dns1123_subdomain
    generation: bool = False
    generation_stands: bool = False
    counts_annotations: bool = False
    has_status: bool = False
    keep_status_on_create: bool = False
    create_on_update: bool = False
    default_orphan: bool = False
    returns_deleted: bool = False
    grace: Callable[[Obj, int | None], int] | None = None
    reserve: Callable[[Obj | None, Obj | None, bool], Reservation] = _reserve_nothing

"""Who owns what: which objects a controller has, adopts and lets go, by selector and controller reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from apimachinery import errors
from apimachinery.client import Client, PatchType
from apimachinery.informer import Informer
from apimachinery.kinds import Kind
from apimachinery.objects import (
    Obj,
    controller_of,
    is_deleting,
    labels,
    name,
    namespace,
    owner_reference,
    uid,
)
from apimachinery.selectors import LabelSelector
from apimachinery.sharing import asked_once

CONTROLLER = "controller"
ORPHANS = "orphans"


@dataclass(frozen=True)
class Claims:
    """`owned` after the others are done; `adopt` have no controller yet; `release` no longer match."""

    owned: tuple[Obj, ...]
    adopt: tuple[Obj, ...]
    release: tuple[Obj, ...]


def claim(
    owner: Obj,
    selector: LabelSelector,
    candidates: Iterable[Obj],
    is_member: Callable[[Obj], bool] = lambda obj: True,
) -> Claims:
    """Sort candidates; what an owner has is what its selector picks and `is_member` lets in.

    An owner that is being deleted adopts and releases nothing; finished objects stay orphans.
    """
    owned, adopt, release = [], [], []
    going, own = is_deleting(owner), uid(owner)
    picks = asked_once(labels, lambda obj: selector.matches(labels(obj)))
    for obj in candidates:
        reference = controller_of(obj)
        matches = picks(obj) and is_member(obj)
        if reference is not None:
            if reference.get("uid") != own:
                continue
            if matches:
                owned.append(obj)
            elif not going:
                release.append(obj)
        elif matches and not going and not is_deleting(obj):
            adopt.append(obj)
    return Claims(tuple(owned), tuple(adopt), tuple(release))


def index_by_owner(informer: Informer) -> None:
    """Index objects by their controller's uid, and those without a controller by namespace."""

    def by_controller(obj: Obj) -> tuple[str, ...]:
        reference = controller_of(obj)
        return (str(reference["uid"]),) if reference else ()

    def by_orphanage(obj: Obj) -> tuple[str, ...]:
        return () if controller_of(obj) else (namespace(obj),)

    informer.add_index(CONTROLLER, by_controller)
    informer.add_index(ORPHANS, by_orphanage)


def candidates(informer: Informer, owner: Obj) -> list[Obj]:
    """What the owner has, and what it could adopt."""
    return [*informer.by_index(CONTROLLER, uid(owner)), *informer.by_index(ORPHANS, namespace(owner))]


async def settle(
    client: Client,
    owner_kind: Kind,
    owner: Obj,
    kind: Kind,
    claims: Claims,
    adopted_with: Mapping[str, object] = MappingProxyType({}),
) -> list[Obj]:
    """Write adoptions and releases; answers what is owned then. `adopted_with`: more metadata for what is adopted.

    Raises ApiError or Unreachable.
    """
    owned = list(claims.owned)
    if claims.adopt:
        # The cache may not know yet that the owner is going or another of the same name.
        fresh = await client.get(owner_kind, name(owner), namespace(owner))
        if uid(fresh) != uid(owner) or is_deleting(fresh):
            return owned
    for obj in claims.adopt:
        patch = {"metadata": {**adopted_with, "ownerReferences": [owner_reference(owner)], "uid": uid(obj)}}
        try:
            owned.append(await _patch(client, kind, obj, patch))
        except errors.NotFound:
            continue
    for obj in claims.release:
        gone = [{"$patch": "delete", "uid": uid(owner)}]
        try:
            await _patch(client, kind, obj, {"metadata": {"ownerReferences": gone, "uid": uid(obj)}})
        except (errors.NotFound, errors.Invalid):
            # Gone meanwhile, or without owner references already.
            continue
    return owned


async def _patch(client: Client, kind: Kind, obj: Obj, patch: Obj) -> Obj:
    return await client.patch(kind, name(obj), patch, namespace(obj), patch_type=PatchType.STRATEGIC)

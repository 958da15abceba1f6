"""ControllerRevisions on their way into the API, the same for every kind that keeps them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import CONTROLLER_REVISION
from apimachinery.objects import Obj, name, namespace, uid


@dataclass(frozen=True)
class Changes:
    """The revision to `create` or to `renew` (give a new number); those to `delete`."""

    create: Obj | None = None
    renew: Obj | None = None
    delete: tuple[Obj, ...] = ()


async def keep(client: Client, changes: Changes, is_wanted: Callable[[Obj], bool]) -> bool:
    """Write the changes; False when the name to create belongs to another template.

    `is_wanted`: whether a stored revision of the name is the one to be created. ApiError, Unreachable.
    """
    if changes.create is not None:
        try:
            await client.create(CONTROLLER_REVISION, changes.create)
        except errors.AlreadyExists:
            where = name(changes.create), namespace(changes.create)
            if not is_wanted(await client.get(CONTROLLER_REVISION, *where)):
                return False
    if changes.renew is not None:
        await client.update(CONTROLLER_REVISION, changes.renew)
    for revision in changes.delete:
        try:
            await client.delete(CONTROLLER_REVISION, name(revision), namespace(revision), uid=uid(revision))
        except errors.NotFound:
            continue
    return True

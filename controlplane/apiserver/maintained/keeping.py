"""The loop that keeps objects as their plans say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, copy
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.cache.events import Event
from controlplane.apiserver.request import User

if TYPE_CHECKING:
    # Who only asks what is published has no use for all of it.
    from controlplane.apiserver.registry import Registry

log = logging.getLogger(__name__)

SELF = User("system:apiserver", groups=("system:masters", "system:authenticated"))
_RETRY_SECONDS = 1.0

# (what is stored or None, the time) -> what should be stored. What it is given is its own to change; an object that
# is all right is given back as it was.
Plan = Callable[["Obj | None", datetime], Obj]
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class Wanted:
    """One object. `status` says how its status should be: (the stored object, the time) -> the object."""

    kind: Kind
    name: str
    plan: Plan
    namespace: str = ""
    status: Callable[[Obj, datetime], Obj] | None = None

    @property
    def key(self) -> _Key:
        return self.kind.resource, self.namespace, self.name


def constant(obj: Obj) -> Plan:
    """The plan of an object that is only made: what becomes of it later is its owner's matter."""
    return lambda found, _: found if found is not None else dict(obj)


def restored(make: Callable[[], Obj], *members: str) -> Plan:
    """The plan of an object some of whose members are always as said at the moment."""

    def plan(found: Obj | None, _: datetime) -> Obj:
        obj = make()
        return dict(obj) if found is None else {**found, **{member: obj[member] for member in members}}

    return plan


class Keeper:
    """Makes what is wanted and mends it whenever it changes."""

    def __init__(self, registry: Registry, wanted: Iterable[Wanted]) -> None:
        self._registry = registry
        self._wanted = {one.key: one for one in wanted}
        self._queue: WorkQueue[_Key] = WorkQueue("maintained objects", backoff_max=_RETRY_SECONDS)

    async def make(self) -> None:
        """All of it, in order. Raises ApiError; what its own settings make invalid is told and left out."""
        for key in self._wanted:
            await self._mend(key)

    async def run(self) -> None:
        """For ever: mend what somebody has changed."""
        for kind in {one.kind.resource: one.kind for one in self._wanted.values()}.values():
            collection = self._registry.collection(kind)
            for entry in collection.scan():
                self._changed(kind, entry)
            collection.follow(partial(self._heard, kind))
        await self._queue.run_workers(1, self._mend)

    def again(self) -> None:
        """What is wanted has changed."""
        for key in self._wanted:
            self._queue.add(key)

    def _heard(self, kind: Kind, event: Event) -> None:
        subject = event.new or event.old
        assert subject is not None
        self._changed(kind, subject)

    def _changed(self, kind: Kind, entry: Entry) -> None:
        """By its names alone: an object may be large, and nearly all are nobody's here."""
        key = (kind.resource, entry.namespace, entry.name)
        if key in self._wanted:
            self._queue.add(key)

    async def _mend(self, key: _Key) -> None:
        one = self._wanted[key]
        try:
            await self._write(one)
        except errors.Invalid as error:
            # An address that cannot be an endpoint, say: trying again would not change it.
            log.warning("%s %s cannot be published: %s", one.kind.kind, one.name, error.message)

    async def _write(self, one: Wanted) -> None:
        registry, kind, at = self._registry, one.kind, now()
        found = registry.find(kind, one.namespace, one.name)
        if found is None:
            obj = {"kind": kind.kind, "apiVersion": kind.api_version, **one.plan(None, at)}
            obj["metadata"] = {**obj.get("metadata", {}), "name": one.name}
            try:
                found = await registry.create(kind, obj, one.namespace, user=SELF)
            except (errors.AlreadyExists, errors.Invalid) as error:
                # Of a Service that is there, its address is told to be taken before its name is.
                if isinstance(error, errors.Invalid) and registry.find(kind, one.namespace, one.name) is None:
                    raise
                log.debug("%s %s was made by somebody else", kind.kind, one.name)
                return
        elif not found["metadata"].get("deletionTimestamp") and one.plan(copy(found), at) != found:
            planned = await registry.mutate(
                kind, one.namespace, one.name, lambda stored: one.plan(stored, at), user=SELF
            )
            found = planned.obj
        status = one.status
        if status is not None and status(copy(found), at) != found:
            await registry.mutate(
                kind, one.namespace, one.name, lambda stored: status(stored, at), subresource="status", user=SELF
            )


def _own(found: Obj) -> Obj:
    return copy(found)

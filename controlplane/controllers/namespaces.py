"""Empties namespaces that are being deleted, tells what is left, and lets them go when nothing is."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from apimachinery import discovery, errors
from apimachinery.conditions import dated
from apimachinery.kinds import NAMESPACE, POD, Kind
from apimachinery.objects import Obj, copy, is_deleting, name, namespace
from apimachinery.timestamps import format_time, now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced

log = logging.getLogger(__name__)

FINALIZER = "kubernetes"
# What is left is looked for again after so many seconds, doubling; the end of a pod brings an earlier look.
FIRST_LOOK = 0.2
LONGEST_LOOK = 5.0
# Collections emptied at a time.
ABREAST = 8


@dataclass(frozen=True)
class Left:
    """What remains of one collection: objects, and how many of them each finalizer holds back."""

    kind: Kind
    count: int = 0
    finalizers: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


def collections(served: discovery.Served) -> tuple[Kind, ...]:
    """One version of each namespaced kind that can be listed and emptied."""
    return tuple(kind for kind in served.preferred() if kind.namespaced and {"list", "delete"} <= kind.verbs)


@dataclass(frozen=True)
class Look:
    """What was found in a namespace; stale: group versions of which nobody could tell what there is of them."""

    left: Sequence[Left]
    stale: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left. What is not known may be there."""
        return not self.stale and not any(entry.count or entry.error for entry in self.left)


def conditions(old: Sequence[Obj], look: Look, moment: datetime) -> list[Obj]:
    """The namespace's conditions: upstream's five, whose times move only with their status."""
    left = look.left
    failed = [entry for entry in left if entry.error]
    remaining = sorted((e for e in left if e.count), key=lambda entry: entry.kind.resource)
    finalizers: dict[str, int] = {}
    for entry in left:
        for finalizer, count in entry.finalizers.items():
            finalizers[finalizer] = finalizers.get(finalizer, 0) + count
    listed = ", ".join(f"{_group_resource(e.kind)} has {e.count} resource instances" for e in remaining)
    held = ", ".join(f"{f} in {count} resource instances" for f, count in sorted(finalizers.items()))
    trouble = ", ".join(sorted(entry.error for entry in failed))
    wanted = (
        ("NamespaceDeletionDiscoveryFailure", _undiscovered(look.stale), "ResourcesDiscovered",
         "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "", "ParsedGroupVersions",
         "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", trouble and f"Failed to delete all resource types, {len(failed)} "
         f"remaining: {trouble}", "ContentDeleted",
         "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", listed and f"Some resources are remaining: {listed}", "ContentRemoved",
         "All content successfully removed"),
        ("NamespaceFinalizersRemaining", held and f"Some content in the namespace has finalizers remaining: {held}",
         "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    )  # fmt: skip
    bad_reasons = {
        "NamespaceDeletionDiscoveryFailure": "DiscoveryFailed",
        "NamespaceDeletionContentFailure": "ContentDeletionFailed",
        "NamespaceContentRemaining": "SomeResourcesRemain",
        "NamespaceFinalizersRemaining": "SomeFinalizersRemain",
    }
    result = [c for c in old if c.get("type") not in {kind for kind, *_ in wanted}]
    for kind, bad, good_reason, good in wanted:
        status = "True" if bad else "False"
        reason = bad_reasons[kind] if bad else good_reason
        condition = {"type": kind, "status": status, "reason": reason, "message": bad or good}
        result.append(dated(old, condition, format_time(moment)))
    return result


def _undiscovered(stale: Sequence[str]) -> str:
    if not stale:
        return ""
    listed = ", ".join(f"{one}: stale GroupVersion discovery: {one}" for one in sorted(stale))
    why = f"unable to retrieve the complete list of server APIs: {listed}"
    return f"Discovery failed for some groups, {len(stale)} failing: {why}"


def _group_resource(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}"


class NamespaceController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._namespaces = context.informers.of(NAMESPACE)
        self._pods = context.informers.of(POD)
        self._queue: WorkQueue[str] = WorkQueue("namespace", backoff_max=60.0)
        self._looks: dict[str, int] = {}
        self._namespaces.add_handler(self._on_namespace)
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        await synced(self._namespaces)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_namespace(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._looks.pop(name(old), None)
        if new is not None and is_deleting(new) and (old is None or not is_deleting(old)):
            self._queue.add(name(new))

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            space = self._namespaces.get(namespace(old))
            if space is not None and is_deleting(space):
                self._queue.add_after(namespace(old), 0.05)

    async def _sync(self, item: str) -> None:
        space = self._namespaces.get(item)
        if space is None or not is_deleting(space):
            return
        if FINALIZER not in ((space.get("spec") or {}).get("finalizers") or ()):
            return
        found = await self._empty(item)
        if not found.is_over:
            await self._tell(item, found)
            look = self._looks.get(item, 0)
            self._looks[item] = look + 1
            self._queue.add_after(item, min(FIRST_LOOK * math.pow(2, min(look, 10)), LONGEST_LOOK))
            return
        await self._finalize(item)

    async def _empty(self, space: str) -> Look:
        """Pods go first, and all else stays until they are gone: what guards them, and what they end with, is among it
        (KEP-5080).
        """
        served = await discovery.served(self._context.client)
        found = collections(served)
        pods = [await self._empty_one(kind, space) for kind in found if kind.resource == POD.resource]
        if any(entry.count for entry in pods):
            return Look(pods, served.stale)
        kinds = [kind for kind in found if kind.resource != POD.resource]
        gate = asyncio.Semaphore(ABREAST)

        async def one(kind: Kind) -> Left:
            async with gate:
                return await self._empty_one(kind, space)

        return Look([*pods, *await asyncio.gather(*(one(kind) for kind in kinds))], served.stale)

    async def _empty_one(self, kind: Kind, space: str) -> Left:
        client = self._context.client
        try:
            items = (await client.list(kind, space))["items"]
            if not items:
                return Left(kind)
            await client.delete_collection(kind, space, propagation="Background")
            items = (await client.list(kind, space))["items"]
        except (errors.NotFound, errors.MethodNotAllowed):
            # The server does not serve this kind, so there is nothing of it.
            return Left(kind)
        except (errors.ApiError, errors.Unreachable) as error:
            return Left(kind, error=str(error))
        finalizers: dict[str, int] = {}
        for obj in items:
            for finalizer in obj["metadata"].get("finalizers") or ():
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
        return Left(kind, len(items), finalizers)

    async def _tell(self, item: str, look: Look) -> None:
        client = self._context.client
        try:
            space = await client.get(NAMESPACE, item)
            old = (space.get("status") or {}).get("conditions") or ()
            new = conditions(old, look, now())
            if list(old) != new:
                status = {**(space.get("status") or {}), "conditions": new}
                await client.update(NAMESPACE, {**space, "status": status}, subresource="status")
        except (errors.NotFound, errors.Conflict) as error:
            log.debug("conditions of namespace %s not written: %s", item, error)

    async def _finalize(self, item: str) -> None:
        client = self._context.client
        try:
            space = copy(await client.get(NAMESPACE, item))
            rest = [f for f in space["spec"].get("finalizers") or () if f != FINALIZER]
            space["spec"]["finalizers"] = rest
            await client.update(NAMESPACE, space, subresource="finalize")
        except errors.NotFound:
            return

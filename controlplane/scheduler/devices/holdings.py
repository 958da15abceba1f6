"""Claims, slices and classes as the scheduler sees them, with what it has promised to pods on their way.

A promise stands from the decision until the API shows it, so that two pods decided on in a row never get one device.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from apimachinery import errors
from apimachinery.client import Client, PatchType
from apimachinery.informer import Informer
from apimachinery.kinds import DEVICE_CLASS, RESOURCE_CLAIM, RESOURCE_SLICE
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj, is_deleting, key, name, namespace, uid, version
from apimachinery.pods.devices import FINALIZER, is_reserved_for
from apimachinery.timestamps import format_time, now, parse_time
from controlplane.scheduler.changes import Change
from controlplane.scheduler.devices import readiness
from controlplane.scheduler.devices.pools import Published
from controlplane.scheduler.devices.slices import Slice, view
from controlplane.scheduler.devices.taken import Taken
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.refused import Refused

# What is read, and what a change of each is to a waiting pod.
KINDS = {
    RESOURCE_CLAIM: Change.RESOURCE_CLAIM,
    RESOURCE_SLICE: Change.RESOURCE_SLICE,
    DEVICE_CLASS: Change.DEVICE_CLASS,
}
# How often a claim is written anew that somebody else has changed meanwhile (upstream's DefaultRetry).
ATTEMPTS = 5


@dataclass(frozen=True)
class Promise:
    """What a pod gets: allocations by the keys of its claims, and which claims those are, by uid."""

    allocations: Mapping[str, Obj]
    uids: frozenset[str]


class Devices:
    """What there is. This one knows of nothing."""

    def __init__(self) -> None:
        self.taken = Taken()
        self.published = Published()

    def claim(self, item: str) -> Obj | None:
        """The claim of that key."""
        return None

    def device_class(self, called: str) -> Obj | None:
        return None

    def classes(self) -> Mapping[str, Obj]:
        return {}

    def is_promised(self, claim_uid: str) -> bool:
        """Whether an allocation is on its way to a claim."""
        return False

    def is_overdue(self, claim: Obj, timeout: float) -> bool:
        """Whether what a claim has should have been made ready `timeout` seconds after it was allocated."""
        return False

    def promise(self, pod_uid: str, allocations: Mapping[str, Obj]) -> None:
        """Keep what was chosen for a pod, by the keys of its claims."""

    def release(self, pod_uid: str) -> None:
        """The pod has it, or will not get it."""

    async def bind(self, client: Client, pod: Pod, timeout: float) -> None:
        """Write what was promised to a pod and reserve its claims for it, and wait `timeout` seconds for devices that
        are made ready. ApiError, Unreachable, Refused.
        """

    async def give_back(self, client: Client, pod: Pod) -> None:
        """Reserve the pod's claims for it no longer. ApiError, Unreachable."""


class InformedDevices(Devices):
    """Reads informers, which others run: one of each of KINDS, in that order."""

    def __init__(self, *informers: Informer) -> None:
        super().__init__()
        self.informers = informers
        self._claims, self._slices, self._classes = informers
        self._promises: dict[str, Promise] = {}
        # Pods, by uid, whose promises are being written.
        self._writing: set[str] = set()
        # Claims as they were written here, until the informer shows as much.
        self._written: dict[str, Obj] = {}
        self._counted: dict[str, Obj] = {}
        self._views: dict[str, Slice] = {}
        self._changed = asyncio.Event()
        self._claims.add_handler(self._on_claim)
        self._slices.add_handler(self._on_slice)

    def claim(self, item: str) -> Obj | None:
        return self._written.get(item) or self._claims.get(item)

    def device_class(self, called: str) -> Obj | None:
        return self._classes.get(called)

    def classes(self) -> Mapping[str, Obj]:
        return {name(found): found for found in self._classes.items()}

    def is_promised(self, claim_uid: str) -> bool:
        return any(claim_uid in promise.uids for promise in self._promises.values())

    def is_overdue(self, claim: Obj, timeout: float) -> bool:
        since = ((claim.get("status") or {}).get("allocation") or {}).get("allocationTimestamp")
        if since is None or not readiness.waits(claim):
            return False
        return parse_time(since) + timedelta(seconds=timeout) < now()

    def promise(self, pod_uid: str, allocations: Mapping[str, Obj]) -> None:
        self.release(pod_uid)
        if not allocations:
            return
        found = [claim for item in allocations if (claim := self.claim(item)) is not None]
        self._promises[pod_uid] = Promise(allocations, frozenset(uid(claim) for claim in found))
        for allocation in allocations.values():
            self.taken.count(allocation, 1)

    def release(self, pod_uid: str) -> None:
        if pod_uid in self._writing:
            # What was sent may stand though the pod went meanwhile: `bind` lets go of it when that is known.
            return
        promise = self._promises.pop(pod_uid, None)
        if promise is not None:
            for allocation in promise.allocations.values():
                self.taken.count(allocation, -1)
            self._wake()

    async def bind(self, client: Client, pod: Pod, timeout: float) -> None:
        promise = self._promises.get(pod.uid)
        promised = promise.allocations if promise else {}
        items = [f"{pod.namespace}/{use.claim}" for use in pod.devices if use.claim]
        self._writing.add(pod.uid)
        try:
            for item in items:
                await self._take(client, pod, item, promised.get(item))
        finally:
            self._writing.discard(pod.uid)
            self.release(pod.uid)
        if any(readiness.waits(self._there(item)) for item in items):
            await self._until_ready(items, timeout)

    async def give_back(self, client: Client, pod: Pod) -> None:
        for use in pod.devices:
            claim = self.claim(f"{pod.namespace}/{use.claim}") if use.claim else None
            if claim is None or not is_reserved_for(claim, pod.uid):
                continue
            # A strategic merge takes away one entry, whatever else was written meanwhile.
            gone = {"$patch": "delete", "uid": pod.uid}
            patch = {"metadata": {"uid": uid(claim)}, "status": {"reservedFor": [gone]}}
            where: dict[str, Any] = {"subresource": "status", "patch_type": PatchType.STRATEGIC}
            self._wrote(await client.patch(RESOURCE_CLAIM, name(claim), patch, namespace(claim), **where))

    async def _take(self, client: Client, pod: Pod, item: str, allocation: Obj | None) -> None:
        """Have one of its claims reserved for a pod, with what it was promised of it."""
        claim = self._there(item)
        for attempt in range(ATTEMPTS):
            if is_reserved_for(claim, pod.uid) and allocation is None:
                return
            try:
                self._wrote(await _reserved(client, claim, allocation, pod))
                return
            except errors.Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.01)
                claim = await _same(client, claim)
            except errors.Unreachable:
                # It may stand: what was promised must not go to another until that is known.
                claim = await _asked(client, claim)
                self._wrote(claim)
                if not is_reserved_for(claim, pod.uid):
                    raise
                return

    def _there(self, item: str) -> Obj:
        claim = self.claim(item)
        if claim is None:
            raise Refused(f"resourceclaim {item} is gone")
        return claim

    async def _until_ready(self, items: Sequence[str], timeout: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            changed = self._changed
            try:
                if all(readiness.is_ready(self._there(item)) for item in items):
                    return
            except readiness.Failed as error:
                raise Refused(str(error)) from error
            if not await is_set_within(changed, deadline - asyncio.get_running_loop().time()):
                raise Refused("device binding timeout: context deadline exceeded")

    def _wrote(self, claim: Obj) -> None:
        """A claim is this now, though the informer may not show it yet."""
        item, shown = key(claim), self._claims.get(key(claim))
        # One that the informer has seen go, or come anew, is not there any more, and nothing would take it away again.
        if shown is not None and uid(shown) == uid(claim) and version(shown) < version(claim):
            self._written[item] = claim
        self._count(item)

    def _on_claim(self, old: Obj | None, new: Obj | None) -> None:
        item = key(new or old or {})
        written = self._written.get(item)
        if written is not None and (new is None or uid(new) != uid(written) or version(new) >= version(written)):
            del self._written[item]
        self._count(item)
        self._wake()

    def _count(self, item: str) -> None:
        """What the claim has counts as taken, and what it had no longer."""
        allocation = ((self.claim(item) or {}).get("status") or {}).get("allocation")
        before = self._counted.pop(item, None)
        if allocation:
            self._counted[item] = allocation
            self.taken.count(allocation, 1)
        if before is not None:
            self.taken.count(before, -1)

    def _on_slice(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and (known := self._views.pop(name(old), None)) is not None:
            self.published.remove(known)
        if new is not None:
            seen = self._views[name(new)] = view(new)
            self.published.add(seen)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _same(client: Client, claim: Obj) -> Obj:
    """The claim as it is now. Refused where another has its name, which may ask for something else. ApiError."""
    found = await client.get(RESOURCE_CLAIM, name(claim), namespace(claim))
    if uid(found) != uid(claim):
        raise Refused(f"resourceclaim {key(claim)} is gone")
    return found


async def _asked(client: Client, claim: Obj) -> Obj:
    """The claim as it stands, asked for until there is an answer. ApiError, Refused."""
    while True:
        await client.reachable()
        with contextlib.suppress(errors.Unreachable):
            return await _same(client, claim)


async def _reserved(client: Client, claim: Obj, allocation: Obj | None, pod: Pod) -> Obj:
    """Write an allocation, if there is one to write, and that the pod uses the claim; the claim as it is then."""
    if is_deleting(claim):
        raise Refused(f"claim {key(claim)} got deleted in the meantime")
    has = (claim.get("status") or {}).get("allocation")
    if allocation is not None and has:
        raise Refused(f"claim {key(claim)} got allocated elsewhere in the meantime")
    if allocation is None and not has:
        raise Refused(f"claim {key(claim)} got deallocated elsewhere in the meantime")
    finalizers = claim["metadata"].get("finalizers") or []
    if allocation is not None and FINALIZER not in finalizers:
        kept = {**claim, "metadata": {**claim["metadata"], "finalizers": [*finalizers, FINALIZER]}}
        claim = await client.update(RESOURCE_CLAIM, kept)
    status = claim.get("status") or {}
    told = {"allocationTimestamp": format_time(now()), **(allocation or has or {})}
    users = [*(status.get("reservedFor") or ()), {"resource": "pods", "name": pod.name, "uid": pod.uid}]
    taken = {**claim, "status": {**status, "allocation": told, "reservedFor": users}}
    return await client.update(RESOURCE_CLAIM, taken, subresource="status")

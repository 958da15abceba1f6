"""Watches the owner references of every kind and carries out what `judge` says."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from apimachinery import discovery, errors
from apimachinery.informer import Informer
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, uid
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import names
from controlplane.controllers.context import Context, synced
from controlplane.controllers.garbage.graph import Graph, Item, Owner, bare, item_of
from controlplane.controllers.garbage.judge import State, judge

log = logging.getLogger(__name__)

# Events own nothing and are owned by nothing; upstream leaves them out too.
IGNORED = ("events",)
ABSENT_REMEMBERED = 500
# Seconds until the server is asked again which kinds there are, at the start.
DISCOVERY_RETRY = 1.0


def watched(served: discovery.Served) -> tuple[Kind, ...]:
    """One version of each kind whose objects can be listed, watched and deleted."""
    wanted = {"list", "watch", "delete"}
    return tuple(kind for kind in served.preferred() if wanted <= kind.verbs and kind.plural not in IGNORED)


class GarbageCollector:
    """The loop; keys are uids. Queue `delete` judges objects, queue `orphan` frees dependents.

    Which kinds there are is asked of the server, at the start and every discovery_period.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._graph = Graph()
        self._delete: WorkQueue[str] = WorkQueue("garbage", backoff_max=30.0)
        self._orphan: WorkQueue[str] = WorkQueue("garbage orphan", backoff_max=30.0)
        # Owners known to be gone: their other dependents need not ask again. A uid never comes back.
        self._absent: OrderedDict[str, None] = OrderedDict()
        # By resource: what is watched of it, and the task of an informer that no other loop has.
        self._monitors: dict[str, tuple[Informer, asyncio.Task[None] | None]] = {}
        self._types: dict[tuple[str, str], Kind] = {}

    async def run(self) -> None:
        try:
            while not await self._learn():
                await asyncio.sleep(DISCOVERY_RETRY)
            # The graph must be whole: an owner not seen yet would look like one that is gone.
            await synced(*(informer for informer, _ in self._monitors.values()))
            workers = self._context.settings.workers
            await asyncio.gather(
                self._delete.run_workers(workers, self._judge),
                self._orphan.run_workers(workers, self._free),
                self._keep_up(),
            )
        finally:
            for _, task in self._monitors.values():
                if task is not None:
                    task.cancel()

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(self._context.settings.discovery_period)
            await self._learn()

    async def _learn(self) -> bool:
        """Watch what the server serves now; False when it could not be asked."""
        try:
            served = await discovery.served(self._context.client)
        except (errors.ApiError, errors.Unreachable) as error:
            log.warning("which kinds there are is not known: %s", error)
            return False
        self._types = {(kind.api_version, kind.kind): kind for kind in served.kinds}
        wanted = {kind.resource: kind for kind in watched(served)}
        # What a server that does not answer serves is not gone.
        silent = {group_version.partition("/")[0] for group_version in served.stale}
        for resource, (informer, _) in list(self._monitors.items()):
            if resource not in wanted and informer.kind.group not in silent:
                self._forget(resource)
        for resource, kind in wanted.items():
            if resource not in self._monitors:
                self._monitors[resource] = self._monitor(kind)
        return True

    def _monitor(self, kind: Kind) -> tuple[Informer, asyncio.Task[None] | None]:
        for shared in self._context.informers.all():
            if (shared.kind.resource, shared.kind.version) == (kind.resource, kind.version):
                shared.add_handler(self._handler(kind))
                return shared, None
        informer = self._context.informers.apart(kind, transform=bare)
        informer.add_handler(self._handler(kind))
        return informer, asyncio.ensure_future(informer.run())

    def _forget(self, resource: str) -> None:
        """A kind is served no more. Its objects are not gone: what they own stays."""
        _, task = self._monitors.pop(resource)
        if task is not None:
            task.cancel()
        for item in [item for item in self._graph.items.values() if item.kind.resource == resource]:
            self._graph.drop(item.uid)

    def _handler(self, kind: Kind) -> Callable[[Obj | None, Obj | None], None]:
        def handle(old: Obj | None, new: Obj | None) -> None:
            if old is not None and (new is None or uid(old) != uid(new)):
                self._gone(uid(old))
            if new is not None:
                self._seen(item_of(kind, new))

        return handle

    def _gone(self, item_uid: str) -> None:
        old = self._graph.drop(item_uid)
        self._remember_absent(item_uid)
        for dependent in self._graph.owned_by(item_uid):
            self._delete.add(dependent.uid)
        self._look_at_waiting(old)

    def _seen(self, item: Item) -> None:
        old = self._graph.put(item)
        if item.orphans_dependents:
            self._orphan.add(item.uid)
        elif item.waits_for_dependents:
            self._delete.add(item.uid)
        if old is None or old.owners != item.owners:
            # Owners never seen may not exist; looking costs one request and is right.
            if any(self._is_doubtful(owner) for owner in item.owners):
                self._delete.add(item.uid)
            self._look_at_waiting(old)

    def _look_at_waiting(self, item: Item | None) -> None:
        """Owners that wait in the foreground may have waited for this object."""
        for owner in item.owners if item is not None else ():
            holder = self._graph.items.get(owner.uid)
            if holder is not None and holder.waits_for_dependents:
                self._delete.add(owner.uid)

    def _is_doubtful(self, owner: Owner) -> bool:
        known = self._graph.items.get(owner.uid)
        return known is None or known.waits_for_dependents

    def _remember_absent(self, owner_uid: str) -> None:
        self._absent[owner_uid] = None
        while len(self._absent) > ABSENT_REMEMBERED:
            self._absent.popitem(last=False)

    # One object

    async def _judge(self, item_uid: str) -> None:
        known = self._graph.items.get(item_uid)
        fresh = await self._fresh(known) if known is not None else None
        if fresh is None:
            return
        live, obj = fresh
        if live.waits_for_dependents:
            await self._wait_for_dependents(live, obj)
            return
        if live.deleting:
            return
        owners = [(owner, await self._state(live, owner)) for owner in live.owners]
        verdict = judge(live, owners, self._graph.owned_by(live.uid))
        if verdict.drop:
            await self._drop_owners(obj, live, verdict.drop)
        elif verdict.delete:
            if verdict.unblock:
                obj = await self._unblock(obj, live)
            log.info("deleting %s %s/%s: its owners are gone", live.kind.resource, live.namespace, live.name)
            await self._remove(obj, live, verdict.delete)

    async def _fresh(self, known: Item) -> tuple[Item, Obj] | None:
        try:
            obj = await self._context.client.get(known.kind, known.name, known.namespace or None)
        except errors.NotFound:
            return None
        return (item_of(known.kind, obj), obj) if uid(obj) == known.uid else None

    async def _state(self, item: Item, owner: Owner) -> State:
        if owner.uid in self._absent:
            return State.ABSENT
        kind = self._types.get((owner.api_version, owner.kind))
        if kind is None or (kind.namespaced and not item.namespace):
            # What cannot be looked up (an unknown kind, or a namespaced owner of a cluster-wide object)
            # counts as there: nothing is deleted on a doubt.
            return State.SOLID
        try:
            obj = await self._context.client.get(kind, owner.name, item.namespace if kind.namespaced else None)
        except errors.NotFound:
            self._remember_absent(owner.uid)
            return State.ABSENT
        if uid(obj) != owner.uid:
            self._remember_absent(owner.uid)
            return State.ABSENT
        return State.WAITING if item_of(kind, obj).waits_for_dependents else State.SOLID

    async def _wait_for_dependents(self, item: Item, obj: Obj) -> None:
        """Foreground: go on with the dependents; when no blocking one is left, let the owner go."""
        blocking = [d for d in self._graph.owned_by(item.uid) if d.blocks(item.uid)]
        if not blocking:
            await self._remove_finalizer(obj, item, names.FOREGROUND_FINALIZER)
            return
        for dependent in blocking:
            if not dependent.deleting:
                self._delete.add(dependent.uid)

    async def _free(self, item_uid: str) -> None:
        """Orphan: take this owner out of its dependents' references, then let it go."""
        known = self._graph.items.get(item_uid)
        fresh = await self._fresh(known) if known is not None else None
        if fresh is None or not fresh[0].orphans_dependents:
            return
        for dependent in self._graph.owned_by(item_uid):
            live = await self._fresh(dependent)
            if live is not None:
                await self._drop_owners(live[1], live[0], (item_uid,))
        await self._remove_finalizer(fresh[1], fresh[0], names.ORPHAN_FINALIZER)

    # Writes

    async def _drop_owners(self, obj: Obj, item: Item, uids: tuple[str, ...]) -> None:
        kept = [r for r in obj["metadata"].get("ownerReferences") or () if r["uid"] not in uids]
        await self._change(obj, item, {"ownerReferences": kept})

    async def _unblock(self, obj: Obj, item: Item) -> Obj:
        loosened = [{**r, "blockOwnerDeletion": False} for r in obj["metadata"].get("ownerReferences") or ()]
        return await self._change(obj, item, {"ownerReferences": loosened})

    async def _remove_finalizer(self, obj: Obj, item: Item, finalizer: str) -> None:
        kept = [f for f in obj["metadata"].get("finalizers") or () if f != finalizer]
        await self._change(obj, item, {"finalizers": kept})

    async def _change(self, obj: Obj, item: Item, fields: Obj) -> Obj:
        """Patch metadata of the object as it was just read; a change in between makes a Conflict."""
        meta = {"uid": item.uid, "resourceVersion": obj["metadata"]["resourceVersion"], **fields}
        try:
            return await self._context.client.patch(item.kind, item.name, {"metadata": meta}, item.namespace or None)
        except errors.NotFound:
            return obj

    async def _remove(self, obj: Obj, item: Item, policy: str) -> None:
        # Preconditions: what was given another owner meanwhile must not go.
        try:
            await self._context.client.delete(
                item.kind,
                item.name,
                item.namespace or None,
                propagation=policy,
                uid=item.uid,
                resource_version=obj["metadata"]["resourceVersion"],
            )
        except errors.NotFound:
            return

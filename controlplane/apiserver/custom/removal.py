"""The end of a definition: its objects go first, each as its finalizers have it."""

from __future__ import annotations

import contextlib

from apimachinery import conditions, errors
from apimachinery.kinds import CUSTOM_RESOURCE_DEFINITION as DEFINITION
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, condition_holds, is_deleting
from apimachinery.timestamps import format_time, now
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.custom.definitions import Definitions
from controlplane.apiserver.maintained.keeping import SELF
from controlplane.apiserver.registry import Context, Registry
from controlplane.apiserver.resources.apiextensions import CUSTOM_RESOURCE_DEFINITION as ROW
from controlplane.apiserver.strategies.definitions import CLEANUP

_WORKERS = 5
_IN_PROGRESS = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
_FAILED = "InstanceDeletionFailed"
_DONE = ("False", "InstanceDeletionCompleted", "removed all instances")
_NEVER = ("False", "NeverEstablished", "resource was never established")
_BUILT_IN = ("False", "OverlappingBuiltInResource", "instances overlap with built-in resources in storage")


class Removal:
    """Takes a definition's finalizer off once nothing of it is left."""

    def __init__(self, registry: Registry, definitions: Definitions) -> None:
        self._registry = registry
        self._queue: WorkQueue[str] = WorkQueue("crd_finalizer")
        definitions.follow(lambda name, group: self._queue.add(name))
        definitions.follow_end(self._queue.add)

    async def run(self) -> None:
        """For ever."""
        for one in self._registry.items(DEFINITION):
            self._queue.add(one["metadata"]["name"])
        await self._queue.run_workers(_WORKERS, self._end)

    async def _end(self, name: str) -> None:
        found = self._registry.find(DEFINITION, "", name)
        if found is None or not is_deleting(found) or CLEANUP not in (found["metadata"].get("finalizers") or ()):
            return
        kind = self._kind(found)
        with contextlib.suppress(errors.NotFound):
            if kind is None:
                await self._finish(name, _NEVER)
            elif self._registry.catalog.of(kind).custom is None:
                await self._finish(name, _BUILT_IN)
            else:
                if not condition_holds(found, "Terminating"):
                    await self._say(name, _IN_PROGRESS)
                await self._emptied(name, kind)
                if not len(self._registry.collection(kind)):
                    await self._finish(name, _DONE)

    def _kind(self, definition: Obj) -> Kind | None:
        """What its objects are kept as; None where there never were any."""
        if not condition_holds(definition, "Established"):
            return None
        storage = f"{definition['spec']['names']['plural']}.{definition['spec']['group']}"
        found = [row.kind for row in self._registry.catalog if row.kept and row.kind.storage == storage]
        # Of what lies there in the stored version nobody has to be asked how it looks: who converts may be gone.
        return next((kind for kind in found if kind.version == kind.stored_version), found[0] if found else None)

    async def _emptied(self, name: str, kind: Kind) -> None:
        """As _empty(), and why that fails is told: once, for whatever is told anew is looked at anew at once. Raises
        ApiError.
        """
        try:
            await self._empty(kind)
        except errors.NotFound:
            raise
        except errors.ApiError as error:
            told = self._registry.get(DEFINITION, "", name)["status"]["conditions"]
            if all(one["reason"] != _FAILED for one in told):
                await self._say(name, ("True", _FAILED, f"could not issue all deletes: {error.message}"))
            raise

    async def _empty(self, kind: Kind) -> None:
        """Delete whatever is there; what has finalizers stays until they are gone."""
        for entry in list(self._registry.collection(kind).scan()):
            if is_deleting(entry.obj):
                continue
            context = Context(self._registry.catalog, user=SELF, admitted=True)
            with contextlib.suppress(errors.NotFound):
                await self._registry.delete_entry(kind, entry.namespace, entry.name, context)

    async def _say(self, name: str, what: tuple[str, str, str], last: bool = False) -> None:
        at = format_time(now())

        def change(old: Obj) -> Obj:
            status, reason, message = what
            there = (old.get("status") or {}).get("conditions") or ()
            said = {"type": "Terminating", "status": status, "reason": reason, "message": message}
            listed = conditions.placed(there, conditions.dated(there, said, at))
            new = {**old, "status": {**(old.get("status") or {}), "conditions": listed}}
            if last:
                kept = [one for one in old["metadata"].get("finalizers") or () if one != CLEANUP]
                new["metadata"] = {**old["metadata"], "finalizers": kept}
            return new

        await self._registry.mutate(ROW.kind, "", name, change, subresource="status", user=SELF)

    async def _finish(self, name: str, what: tuple[str, str, str]) -> None:
        await self._say(name, what, last=True)

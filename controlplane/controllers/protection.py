"""Lets claims, volumes and their attributes classes go once nothing uses them any more."""

from __future__ import annotations

from collections.abc import Iterable

from apimachinery import errors
from apimachinery.informer import Informer
from apimachinery.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, VOLUME_ATTRIBUTES_CLASS, Kind
from apimachinery.objects import Obj, is_deleting, key, name, namespace
from apimachinery.volumes import claims
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced


def claims_of(pod: Obj) -> list[str]:
    """The claims a pod uses. A pod without a node uses none: no node starts it with a claim that is going."""
    return [use.claim for use in claims.uses(pod)] if pod["spec"].get("nodeName") else []


def classes_of(obj: Obj) -> list[str]:
    """The attributes classes that a claim or a volume has or is to get."""
    status = obj.get("status") or {}
    found = (
        (obj.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return [text for text in found if text]


class _Protection:
    """Keeps one finalizer on the objects of a kind, and takes it off those that are to go and are not in use."""

    kind: Kind
    finalizer: str

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._objects = context.informers.of(self.kind)
        self._queue: WorkQueue[str] = WorkQueue(f"{self.kind.plural}-protection", backoff_max=60.0)
        self._objects.add_handler(lambda _old, new: self._queue.add(key(new)) if new is not None else None)

    def users(self) -> Iterable[Informer]:
        """Informers of what may use the objects."""
        return ()

    def in_use(self, obj: Obj) -> bool:
        raise NotImplementedError

    async def run(self) -> None:
        await synced(self._objects, *self.users())
        await self._queue.run_workers(1, self._sync)

    async def _sync(self, wanted: str) -> None:
        obj = self._objects.get(wanted)
        if obj is None:
            return
        finalizers: list[str] = list(obj["metadata"].get("finalizers") or ())
        kept = self.finalizer in finalizers
        if is_deleting(obj):
            if not kept or self.in_use(obj):
                return
            finalizers.remove(self.finalizer)
        elif kept:
            return
        else:
            finalizers.append(self.finalizer)
        try:
            await self._client.update(self.kind, {**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}})
        except errors.NotFound:
            return


class ClaimProtection(_Protection):
    """A claim stays while a pod on some node uses it."""

    kind = PERSISTENT_VOLUME_CLAIM
    finalizer = "kubernetes.io/pvc-protection"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pods = context.informers.of(POD)
        self._pods.add_handler(self._on_pod)

    def users(self) -> Iterable[Informer]:
        return (self._pods,)

    def in_use(self, obj: Obj) -> bool:
        space, wanted = namespace(obj), name(obj)
        return any(namespace(pod) == space and wanted in claims_of(pod) for pod in self._pods.items())

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            for claim in claims_of(old):
                self._queue.add(f"{namespace(old)}/{claim}")


class VolumeProtection(_Protection):
    """A volume stays while it is bound to a claim."""

    kind = PERSISTENT_VOLUME
    finalizer = "kubernetes.io/pv-protection"

    def in_use(self, obj: Obj) -> bool:
        return bool((obj.get("status") or {}).get("phase") == "Bound")


class AttributesClassProtection(_Protection):
    """An attributes class stays while a claim or a volume has it, or is to get it."""

    kind = VOLUME_ATTRIBUTES_CLASS
    finalizer = "kubernetes.io/vac-protection"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._holders = (context.informers.of(PERSISTENT_VOLUME_CLAIM), context.informers.of(PERSISTENT_VOLUME))
        for holder in self._holders:
            holder.add_handler(self._on_holder)

    def users(self) -> Iterable[Informer]:
        return self._holders

    def in_use(self, obj: Obj) -> bool:
        return any(name(obj) in classes_of(held) for holder in self._holders for held in holder.items())

    def _on_holder(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None:
            for lost in set(classes_of(old)) - set(classes_of(new or {})):
                self._queue.add(lost)

"""The loop: one queue of persistent volumes, and of nodes whose status has to tell what is attached."""

from __future__ import annotations

import asyncio
import contextlib

from apimachinery import errors, objects
from apimachinery.kinds import NODE, PERSISTENT_VOLUME, VOLUME_ATTACHMENT, Kind
from apimachinery.objects import Obj, name, uid
from apimachinery.volumes import claims
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import names
from controlplane.controllers.attachments import volumes
from controlplane.controllers.attachments.observed import Observed, volume_of
from controlplane.controllers.attachments.plan import Detach, Place, Step, outcome, plan, reported
from controlplane.controllers.attachments.volumes import Volume
from controlplane.controllers.context import Context, synced
from controlplane.controllers.expectations import DOUBT_AFTER
from controlplane.controllers.nodelifecycle.controller import BY_NODE


class AttachDetachController:
    """Both directions."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._known = Observed(context)
        self._queue: WorkQueue[tuple[Kind, str]] = WorkQueue("attachments", backoff_max=60.0)
        # Attachments by uid: no longer told to their nodes, since they are being detached.
        self._going: set[str] = set()
        # By volume and node: attachments asked for that the cache does not show yet.
        self._asked: dict[str, dict[str, Obj]] = {}
        # (volume, node): pods there have been told that others have it.
        self._refused: set[tuple[str, str]] = set()
        # What pods were last told of an attachment, by its uid.
        self._told: dict[str, Obj] = {}
        known = self._known
        known.pods.add_handler(lambda old, new: self._on_pod(new or old or {}))
        known.claims.add_handler(lambda old, new: self._add((new or old or {})["spec"].get("volumeName") or ""))
        known.volumes.add_handler(lambda old, new: self._add(name(new or old or {})))
        known.nodes.add_handler(self._on_node)
        known.attachments.add_handler(self._on_attachment)
        known.drivers.add_handler(self._on_driver)

    async def run(self) -> None:
        await synced(*self._known.all())
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _add(self, volume: str) -> None:
        if self._known.volume(volume) is not None:
            self._queue.add((PERSISTENT_VOLUME, volume))

    def _on_pod(self, pod: Obj) -> None:
        for claim in claims.keys_of(pod):
            self._add(((self._known.claims.get(claim) or {}).get("spec") or {}).get("volumeName") or "")

    def _on_driver(self, old: Obj | None, new: Obj | None) -> None:
        for volume in self._known.volumes.items():
            self._add(name(volume))

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        node = new or old or {}
        if old is not None and new is not None and _facts(old) == _facts(new):
            return
        self._queue.add((NODE, name(node)))
        for attachment in self._known.attachments.by_index(BY_NODE, name(node)):
            self._add(volume_of(attachment))
        if old is None:
            for pod in self._known.pods.by_index(BY_NODE, name(node)):
                self._on_pod(pod)

    def _on_attachment(self, old: Obj | None, new: Obj | None) -> None:
        attachment = new or old or {}
        node, called = attachment["spec"]["nodeName"], volume_of(attachment)
        self._asked.get(called, {}).pop(node, None)
        if old is not None and (new is None or uid(new) != uid(old)):
            self._told.pop(uid(old), None)
            self._going.discard(uid(old))
        self._add(called)
        self._queue.add((NODE, node))

    def _spare(self, place: Place) -> None:
        """A volume is not being detached from a node any more: the node is told of it again."""
        if place.attachment is not None and uid(place.attachment) in self._going:
            self._going.discard(uid(place.attachment))
            self._queue.add((NODE, place.node))

    async def _sync(self, item: tuple[Kind, str]) -> None:
        kind, which = item
        if kind is NODE:
            await self._report(which)
            return
        volume = self._known.volume(which)
        if volume is None:
            return
        asked = await self._still_asked(volume)
        places = self._known.places(volume, asked, asyncio.get_running_loop().time())
        step = plan(volume, places, self._context.settings.force_detach_after)
        self._tell(volume, places, step)
        if step.again is not None:
            self._queue.add_after(item, step.again)
        if asked:
            self._queue.add_after(item, DOUBT_AFTER)
        leaving = {detach.node for detach in step.detach}
        for place in places:
            # A detach may have failed before the pod came that needs the volume now.
            if place.node not in leaving:
                self._spare(place)
        # First from where it is not needed: whoever moved can have it then.
        for detach in step.detach:
            await self._detach(volume, detach, next(p for p in places if p.node == detach.node))
        for node in step.attach:
            wanted = self._asked.setdefault(volume.name, {})[node] = volumes.made(volume, node)
            with contextlib.suppress(errors.AlreadyExists):
                await self._client.create(VOLUME_ATTACHMENT, wanted)

    async def _still_asked(self, volume: Volume) -> dict[str, Obj]:
        """By node: what was asked for and is not in the cache may be there, and then no other node may have it."""
        for node in list(self._asked.get(volume.name, ())):
            there: Obj | None = None
            with contextlib.suppress(errors.NotFound):
                there = await self._client.get(VOLUME_ATTACHMENT, volume.attachment(node))
            asked = self._asked.get(volume.name, {})
            if there is None or self._known.attachments.get(name(there)) is not None:
                asked.pop(node, None)
            elif node in asked:
                asked[node] = there
            if not asked:
                self._asked.pop(volume.name, None)
        return self._asked.get(volume.name, {})

    def _tell(self, volume: Volume, places: list[Place], step: Step) -> None:
        notes = []
        here = {place.node for place in places}
        self._refused -= {at for at in self._refused if at[0] == volume.name and at[1] not in here}
        for place in places:
            at = (volume.name, place.node)
            refused = [note for note in step.notes if any(note.about is pod for pod in place.users)]
            if refused and at not in self._refused:
                self._refused.add(at)
                notes += refused
            elif not refused:
                self._refused.discard(at)
            if place.attachment is not None and uid(place.attachment):
                notes += outcome(volume, place, self._told.get(uid(place.attachment)))
                self._told[uid(place.attachment)] = place.attachment.get("status") or {}
        for note in notes:
            self._context.recorder.event(note.about or {}, note.kind, note.reason, note.message)

    async def _detach(self, volume: Volume, wanted: Detach, place: Place) -> None:
        """Tell the node first that the volume is no longer to be mounted, then look once more whether it is."""
        assert place.attachment is not None
        self._going.add(uid(place.attachment))
        await self._report(wanted.node)
        if not wanted.forced and await self._is_mounted(wanted.node, volume):
            self._spare(place)
            raise RuntimeError(f"volume {volume.name} is mounted on node {wanted.node} again")
        with contextlib.suppress(errors.NotFound):
            await self._client.delete(VOLUME_ATTACHMENT, name(place.attachment), uid=uid(place.attachment))

    async def _is_mounted(self, node: str, volume: Volume) -> bool:
        try:
            fresh = await self._client.get(NODE, node)
        except errors.NotFound:
            return False
        return volume.unique in ((fresh.get("status") or {}).get("volumesInUse") or ())

    async def _report(self, which: str) -> None:
        """Write `status.volumesAttached` of a node where it differs."""
        node = self._known.nodes.get(which)
        if node is None:
            return
        wanted = reported(self._known.attached_at(which), self._going)
        if wanted != ((node.get("status") or {}).get("volumesAttached") or []):
            with contextlib.suppress(errors.NotFound):
                patch = {"metadata": {"uid": uid(node)}, "status": {"volumesAttached": wanted or None}}
                await self._client.patch(NODE, which, patch, subresource="status")


def _facts(node: Obj) -> tuple[object, ...]:
    """What of a node matters here."""
    status, spec = node.get("status") or {}, node.get("spec") or {}
    ready = [c.get("status") for c in status.get("conditions") or () if c.get("type") == "Ready"]
    managed = names.ATTACHED_BY_CONTROLLER in objects.annotations(node)
    return status.get("volumesInUse"), status.get("volumesAttached"), spec.get("taints"), ready, managed

"""The binder: brings claims and volumes together, and lets volumes go whose claim is gone.

Its cache may lag: every write carries the version it was planned from, so that what was planned from an old state is
refused, and looked at again.
"""

from __future__ import annotations

import contextlib

from apimachinery import errors
from apimachinery.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, STORAGE_CLASS, Kind
from apimachinery.objects import Obj, is_deleting, key, name, split_key, uid
from apimachinery.volumes import claims, matching
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import pod_status
from controlplane.controllers.context import Context, synced
from controlplane.controllers.volumes.plan import Step, World, plan
from controlplane.controllers.volumes.release import release

BY_CLASS, BY_CLAIM, BY_VOLUME = "volume-class", "volume-claim", "claim-volume"


class BinderController:
    """The loop: one queue of volumes and claims."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._claims = context.informers.of(PERSISTENT_VOLUME_CLAIM)
        self._volumes = context.informers.of(PERSISTENT_VOLUME)
        self._classes = context.informers.of(STORAGE_CLASS)
        self._pods = context.informers.of(POD)
        self._queue: WorkQueue[tuple[Kind, str]] = WorkQueue("volumes", backoff_max=60.0)
        self._volumes.add_index(BY_CLASS, matching.open_classes)
        self._volumes.add_index(BY_CLAIM, lambda volume: (matching.claim_key(volume),))
        self._claims.add_index(BY_CLASS, lambda claim: () if claims.is_bound(claim) else (claims.class_of(claim),))
        self._claims.add_index(BY_VOLUME, lambda claim: (claim["spec"].get("volumeName") or "",))
        self._pods.add_index(BY_CLAIM, claims.keys_of)
        self._claims.add_handler(self._on_claim)
        self._volumes.add_handler(self._on_volume)
        self._classes.add_handler(self._on_class)

    async def run(self) -> None:
        await synced(self._claims, self._volumes, self._classes, self._pods)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_claim(self, old: Obj | None, new: Obj | None) -> None:
        claim = new or old or {}
        self._queue.add((PERSISTENT_VOLUME_CLAIM, key(claim)))
        # It may have been let go, or be bound elsewhere.
        for volume in self._volumes.by_index(BY_CLAIM, key(claim)):
            self._queue.add((PERSISTENT_VOLUME, name(volume)))

    def _on_volume(self, old: Obj | None, new: Obj | None) -> None:
        volume = new or old or {}
        self._queue.add((PERSISTENT_VOLUME, name(volume)))
        for claim in self._claims.by_index(BY_VOLUME, name(volume)):
            self._queue.add((PERSISTENT_VOLUME_CLAIM, key(claim)))
        if wanted := matching.claim_key(volume):
            self._queue.add((PERSISTENT_VOLUME_CLAIM, wanted))
        elif new is not None:
            self._look_at_waiting(claims.class_of(volume))

    def _on_class(self, old: Obj | None, new: Obj | None) -> None:
        self._look_at_waiting(name(new or old or {}))
        if new is not None and claims.default_class([new]):
            self._look_at_waiting("")

    def _look_at_waiting(self, storage_class: str) -> None:
        for claim in self._claims.by_index(BY_CLASS, storage_class):
            self._queue.add((PERSISTENT_VOLUME_CLAIM, key(claim)))

    async def _sync(self, item: tuple[Kind, str]) -> None:
        kind, which = item
        if kind is PERSISTENT_VOLUME_CLAIM:
            claim = self._claims.get(which)
            if claim is not None:
                await self._apply(plan(claim, self._world(claim)), claim)
            return
        volume = self._volumes.get(which)
        if volume is not None:
            claim = await self._claim_of(volume)
            await self._apply(release(volume, claim), claim)

    def _world(self, claim: Obj) -> World:
        named = self._volumes.get(claim["spec"].get("volumeName") or "")
        found = [named] if named else []
        if not claim["spec"].get("volumeName"):
            found += self._volumes.by_index(BY_CLAIM, key(claim))
            found += self._volumes.by_index(BY_CLASS, claims.class_of(claim))
        users = [p for p in self._pods.by_index(BY_CLAIM, key(claim)) if pod_status.phase(p) not in pod_status.FINAL]
        waiting = [name(p) for p in users if not p["spec"].get("nodeName") and not is_deleting(p)]
        return World({name(v): v for v in found}, {name(c): c for c in self._classes.items()}, sorted(waiting))

    async def _claim_of(self, volume: Obj) -> Obj | None:
        """The claim that the volume is bound to. That it is gone, or another, is asked of the API server itself."""
        found, wanted = matching.claim_key(volume), (volume["spec"].get("claimRef") or {}).get("uid")
        if not found or not wanted:
            return None
        claim = self._claims.get(found)
        if claim is not None and uid(claim) == wanted:
            return claim
        if (volume.get("status") or {}).get("phase") in ("Released", "Failed"):
            return None
        space, which = split_key(found)
        with contextlib.suppress(errors.NotFound):
            return await self._context.client.get(PERSISTENT_VOLUME_CLAIM, which, space)
        return None

    async def _apply(self, step: Step, claim: Obj | None) -> None:
        recorder = self._context.recorder
        if step.volume is not None:
            await self._write(PERSISTENT_VOLUME, self._volumes.get(name(step.volume)), step.volume)
        if step.claim is not None and claim is not None:
            await self._write(PERSISTENT_VOLUME_CLAIM, claim, step.claim)
        for note in step.notes:
            if (about := note.about or claim) is not None:
                recorder.event(about, note.kind, note.reason, note.message)

    async def _write(self, kind: Kind, before: Obj | None, wanted: Obj) -> Obj | None:
        """Object and status, each where it differs. Raises Conflict where the cache was behind."""
        if before is None or wanted == before:
            return before
        status = wanted.get("status")
        try:
            if any(wanted.get(part) != before.get(part) for part in ("metadata", "spec")):
                # A writer of status and spec together sees the version that the first write made.
                wanted = await self._context.client.update(kind, wanted)
            if status != (before.get("status") or {}):
                wanted = await self._context.client.update(kind, {**wanted, "status": status}, subresource="status")
        except errors.NotFound:
            return None
        return wanted

"""Claims that ask for more than they have: growing is the work of a volume's driver, of which this loop tells."""

from __future__ import annotations

from apimachinery import quantity
from apimachinery.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from apimachinery.objects import Obj, key, uid
from apimachinery.volumes import matching
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced


def is_growing(claim: Obj, volume: Obj) -> bool:
    """Whether a bound claim asks for more than its volume gives it."""
    bound = (volume["spec"].get("claimRef") or {}).get("uid") == uid(claim)
    has = quantity.parse(((claim.get("status") or {}).get("capacity") or {}).get("storage") or 0)
    return bound and matching.requested(claim) > has


class ExpansionController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._claims = context.informers.of(PERSISTENT_VOLUME_CLAIM)
        self._volumes = context.informers.of(PERSISTENT_VOLUME)
        self._queue: WorkQueue[str] = WorkQueue("expansion", backoff_max=60.0)
        self._claims.add_handler(self._on_claim)

    async def run(self) -> None:
        await synced(self._claims, self._volumes)
        await self._queue.run_workers(1, self._sync)

    def _on_claim(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or old is None or (new.get("status") or {}).get("phase") != "Bound":
            return
        if matching.requested(new) > matching.requested(old):
            self._queue.add(key(new))

    async def _sync(self, item: str) -> None:
        claim = self._claims.get(item)
        volume = self._volumes.get((claim or {}).get("spec", {}).get("volumeName") or "")
        if claim is not None and volume is not None and is_growing(claim, volume):
            text = "waiting for an external controller to expand this PVC"
            # Upstream's wording for a volume without a plugin of its own: a driver has to do it.
            kind = "Normal" if volume["spec"].get("csi") else "Warning"
            self._context.recorder.event(claim, kind, "ExternalExpanding", text)

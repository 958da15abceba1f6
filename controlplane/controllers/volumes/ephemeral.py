"""Claims of generic ephemeral volumes (KEP-1698): one for each, owned by its pod and gone with it."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import PERSISTENT_VOLUME_CLAIM, POD
from apimachinery.objects import Obj, is_deleting, key, namespace, owner_reference
from apimachinery.volumes import claims
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced
from controlplane.controllers.pod_control import is_namespace_going
from controlplane.controllers.volumes.binder import BY_CLAIM


def claim_of(pod: Obj, use: claims.Use) -> Obj:
    """The claim of one of the pod's ephemeral volumes."""
    volume = next(v for v in pod["spec"]["volumes"] if v["name"] == use.volume)
    template = volume["ephemeral"]["volumeClaimTemplate"]
    given = template.get("metadata") or {}
    metadata = {"name": use.claim, "namespace": namespace(pod), "ownerReferences": [owner_reference(pod)]}
    metadata |= {part: given[part] for part in ("labels", "annotations") if given.get(part)}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}


class EphemeralVolumeController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pods = context.informers.of(POD)
        self._claims = context.informers.of(PERSISTENT_VOLUME_CLAIM)
        self._queue: WorkQueue[str] = WorkQueue("ephemeral volumes", backoff_max=60.0)
        self._pods.add_index(BY_CLAIM, claims.keys_of)
        self._pods.add_handler(self._on_pod)
        self._claims.add_handler(self._on_claim)

    async def run(self) -> None:
        await synced(self._pods, self._claims)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        # What a pod's volumes are never changes.
        if new is not None and old is None and any(use.ephemeral for use in claims.uses(new)):
            self._queue.add(key(new))

    def _on_claim(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            for pod in self._pods.by_index(BY_CLAIM, key(old)):
                self._queue.add(key(pod))

    async def _sync(self, item: str) -> None:
        pod = self._pods.get(item)
        if pod is None or is_deleting(pod):
            return
        for use in claims.uses(pod):
            if use.ephemeral and (wrong := await self._furnish(pod, use)):
                text = f"ephemeral volume {use.volume}: {wrong}"
                self._context.recorder.event(pod, "Warning", "FailedBinding", text)
                raise RuntimeError(f"pod {item}, {text}")

    async def _furnish(self, pod: Obj, use: claims.Use) -> str:
        """Make the claim where it is missing; what is wrong, or ""."""
        present = self._claims.get(f"{namespace(pod)}/{use.claim}")
        if present is not None:
            return claims.not_made_for(present, pod)
        try:
            await self._context.client.create(PERSISTENT_VOLUME_CLAIM, claim_of(pod, use))
        except errors.AlreadyExists:
            # Ours, and the cache behind: its event comes; or another's, which the next look says.
            self._queue.add_after(key(pod), 1.0)
        except errors.ApiError as error:
            return "" if is_namespace_going(error) else f"create PVC {use.claim}: {error}"
        return ""

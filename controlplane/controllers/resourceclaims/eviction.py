"""The loop that ends pods whose devices are tainted NoExecute."""

from __future__ import annotations

from apimachinery.kinds import POD, RESOURCE_CLAIM, RESOURCE_SLICE
from apimachinery.objects import Obj, is_deleting, key, namespace, uid
from apimachinery.pods import devices
from apimachinery.timestamps import now
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import pod_status
from controlplane.controllers.context import Context, synced
from controlplane.controllers.ending import end
from controlplane.controllers.resourceclaims import plan
from controlplane.controllers.resourceclaims.controller import BY_CLAIM, claim_keys
from controlplane.controllers.resourceclaims.tainted import Pool, Taints, evict_at, evicting, pool_of

BY_POOL = "pool"


class DeviceTaintEvictionController:
    """Keys are pods."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pods = context.informers.of(POD)
        self._claims = context.informers.of(RESOURCE_CLAIM)
        self._slices = context.informers.of(RESOURCE_SLICE)
        self._queue: WorkQueue[str] = WorkQueue("device taints", backoff_max=30.0)
        self._taints: dict[Pool, Taints] = {}
        # Keys of pods that wait for their time.
        self._waiting: set[str] = set()
        self._pods.add_index(BY_CLAIM, claim_keys)
        self._slices.add_index(BY_POOL, lambda each: ("/".join(pool_of(each)),))
        self._pods.add_handler(self._on_pod)
        self._claims.add_handler(lambda old, new: self._on_claim(new or old or {}))
        self._slices.add_handler(self._on_slice)

    async def run(self) -> None:
        await synced(self._pods, self._claims, self._slices)
        await self._queue.run_workers(1, self._sync)

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        pod = new or old or {}
        if pod["spec"].get("resourceClaims") and (self._taints or key(pod) in self._waiting):
            self._queue.add(key(pod))

    def _on_claim(self, claim: Obj) -> None:
        if self._taints or self._waiting:
            for pod in self._pods.by_index(BY_CLAIM, key(claim)):
                self._queue.add(key(pod))

    def _on_slice(self, old: Obj | None, new: Obj | None) -> None:
        pool = pool_of(new or old or {})
        taints = evicting(self._slices.by_index(BY_POOL, "/".join(pool)))
        if taints == self._taints.get(pool, {}):
            return
        self._taints[pool] = taints
        if not taints:
            del self._taints[pool]
        for claim in self._claims.items():
            for who in plan.pods_of(claim):
                self._queue.add(f"{namespace(claim)}/{who['name']}")

    async def _sync(self, item: str) -> None:
        pod, moment = self._pods.get(item), now()
        over = pod is None or is_deleting(pod) or pod_status.phase(pod) in pod_status.FINAL
        due = None if pod is None or over else evict_at(self._held(pod), self._taints, moment)
        if pod is None or due is None:
            if item in self._waiting and pod is not None and not over:
                self._say(pod, "Cancelling deletion")
            self._waiting.discard(item)
        elif due > moment:
            self._waiting.add(item)
            self._queue.add_after(item, (due - moment).total_seconds())
        else:
            self._say(pod, "Marking for deletion")
            message = "Device Taint manager: deleting due to NoExecute taint"
            await end(self._context.client, pod, "DeletionByDeviceTaintManager", message)
            self._waiting.discard(item)

    def _held(self, pod: Obj) -> list[Obj]:
        """The claims whose devices a pod on a node has."""
        if not pod["spec"].get("nodeName"):
            return []
        found = [(use, self._claims.get(f"{namespace(pod)}/{use.claim}")) for use in devices.uses(pod)]
        return [
            claim
            for use, claim in found
            if claim is not None
            and devices.is_reserved_for(claim, uid(pod))
            and not (use.template and devices.not_made_for(claim, pod))
        ]

    def _say(self, pod: Obj, text: str) -> None:
        self._context.recorder.event(pod, "Normal", "DeviceTaintManagerEviction", text)

"""Says of each ValidatingAdmissionPolicy which generation was seen.

Upstream's loop tells beside it whether the types of its expressions fit. Here nobody looks at them, so
status.typeChecking stays away, which says that it was not done.
"""

from __future__ import annotations

import contextlib

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import VALIDATING_ADMISSION_POLICY
from apimachinery.objects import Obj, name
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced

# As whom upstream's loop owns the field.
FIELD_MANAGER = "validatingadmissionpolicy-status"


def unseen(policy: Obj) -> int:
    """The generation that the policy's status does not tell yet; 0 where it tells it."""
    generation: int = policy["metadata"].get("generation") or 0
    return generation if generation > ((policy.get("status") or {}).get("observedGeneration") or 0) else 0


class AdmissionPolicyStatusController:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._policies = context.informers.of(VALIDATING_ADMISSION_POLICY)
        self._queue: WorkQueue[str] = WorkQueue(FIELD_MANAGER, backoff_max=60.0)
        self._policies.add_handler(self._on_policy)

    async def run(self) -> None:
        await synced(self._policies)
        await self._queue.run_workers(1, self._sync)

    def _on_policy(self, _old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._queue.add(name(new))

    async def _sync(self, item: str) -> None:
        policy = self._policies.get(item)
        if policy is None or not (generation := unseen(policy)):
            return
        kind = VALIDATING_ADMISSION_POLICY
        told = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": item}}
        with contextlib.suppress(errors.NotFound):
            await self._client.patch(
                kind,
                item,
                {**told, "status": {"observedGeneration": generation}},
                subresource="status",
                patch_type=PatchType.APPLY,
                field_manager=FIELD_MANAGER,
                force=True,
            )

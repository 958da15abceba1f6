"""Says of each ValidatingAdmissionPolicy which generation was seen, and what in its expressions does not fit the types
of the kinds that it names.

A kind's type is the published one, or what the server publishes of a kind that is defined by an object.
"""

from __future__ import annotations

import contextlib
import json
import logging

from apimachinery import discovery, errors
from apimachinery.client import PatchType
from apimachinery.kinds import VALIDATING_ADMISSION_POLICY, Kind
from apimachinery.objects import Obj, name
from apimachinery.schema import Node, Schema
from apimachinery.schema.node import REF
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.expressions.checking import concerned, warnings
from controlplane.controllers.context import Context, synced

log = logging.getLogger(__name__)

# As whom upstream's loop owns the field.
FIELD_MANAGER = "validatingadmissionpolicy-status"
# How the server's documents refer to a type.
_REFERENCE = "#/components/schemas/"


def unseen(policy: Obj) -> int:
    """The generation that the policy's status does not tell yet; 0 where it tells it."""
    generation: int = policy["metadata"].get("generation") or 0
    return generation if generation > ((policy.get("status") or {}).get("observedGeneration") or 0) else 0


def _is(kind: Kind, named: Obj) -> bool:
    return (kind.api_version, kind.kind) == (named["apiVersion"], named["kind"])


class AdmissionPolicyStatusController:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._policies = context.informers.of(VALIDATING_ADMISSION_POLICY)
        self._queue: WorkQueue[str] = WorkQueue(FIELD_MANAGER, backoff_max=60.0)
        self._policies.add_handler(self._on_policy)

    async def run(self) -> None:
        await synced(self._policies)
        await self._queue.run_workers(1, self._sync)

    async def _warnings(self, policy: Obj) -> list[Obj]:
        """Raises ApiError where it is not known what is served, Unreachable."""
        served = (await discovery.served(self._client)).kinds
        kinds = concerned(policy, served)
        named = policy["spec"].get("paramKind")
        params = next((kind for kind in served if named and _is(kind, named)), None)
        published = {kind: await self._published(kind) for kind in (*kinds, *([params] if params else []))}
        return warnings(policy, kinds, params, published.get)

    async def _published(self, kind: Kind) -> Node | None:
        """The type of a kind; None where nobody tells it. Raises Unreachable."""
        known = Schema.load().node(kind.api_version, kind.kind)
        if known is not None:
            return known
        try:
            document = await self._client.request("GET", f"/openapi/v3/apis/{kind.group}/{kind.version}")
        except errors.ApiError as error:
            # As upstream: what nobody tells the type of is not looked at, and that is no fault of the policy's.
            log.info("no types of %s/%s are told: %s", kind.group, kind.version, error.message)
            return None
        found = (document.get("components") or {}).get("schemas") or {}
        schemas = json.loads(json.dumps(found).replace(_REFERENCE, REF))
        wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        for schema in schemas.values():
            if wanted in (schema.get("x-kubernetes-group-version-kind") or ()):
                return Node(schema, schemas.__getitem__, {})
        return None

    def _on_policy(self, _old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._queue.add(name(new))

    async def _sync(self, item: str) -> None:
        policy = self._policies.get(item)
        if policy is None or not (generation := unseen(policy)):
            return
        kind = VALIDATING_ADMISSION_POLICY
        found = await self._warnings(policy)
        checked = {"expressionWarnings": found} if found else {}
        told = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": item}}
        with contextlib.suppress(errors.NotFound):
            await self._client.patch(
                kind,
                item,
                {**told, "status": {"observedGeneration": generation, "typeChecking": checked}},
                subresource="status",
                patch_type=PatchType.APPLY,
                field_manager=FIELD_MANAGER,
                force=True,
            )

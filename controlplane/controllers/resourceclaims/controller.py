"""The loop over pods that use ResourceClaims, and over the claims."""

from __future__ import annotations

import contextlib

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import POD, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE, Kind
from apimachinery.objects import Obj, is_deleting, key, name, namespace, uid
from apimachinery.pods import devices
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import ownership
from controlplane.controllers.context import Context, generated_name, synced
from controlplane.controllers.pod_control import is_namespace_going
from controlplane.controllers.resourceclaims import plan

# Upstream's name for who writes these members of a pod's status.
FIELD_MANAGER = "ResourceClaimController"
BY_CLAIM, BY_TEMPLATE = "resource-claim", "resource-claim-template"


def claim_keys(pod: Obj) -> list[str]:
    """The keys of the claims that a pod uses."""
    found = [use.claim for use in devices.uses(pod)] + [devices.extended(pod)]
    return [f"{namespace(pod)}/{claim}" for claim in found if claim]


class ResourceClaimController:
    """One queue of pods and claims."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pods = context.informers.of(POD)
        self._claims = context.informers.of(RESOURCE_CLAIM)
        self._templates = context.informers.of(RESOURCE_CLAIM_TEMPLATE)
        self._queue: WorkQueue[tuple[Kind, str]] = WorkQueue("resource claims", backoff_max=60.0)
        # By the pod's uid and the entry: names of claims that the cache may not show yet.
        self._making: dict[tuple[str, str], str] = {}
        self._pods.add_index(BY_CLAIM, claim_keys)
        self._pods.add_index(
            BY_TEMPLATE, lambda pod: (f"{namespace(pod)}/{u.template}" for u in devices.uses(pod) if u.template)
        )
        ownership.index_by_owner(self._claims)
        self._pods.add_handler(self._on_pod)
        self._claims.add_handler(self._on_claim)
        self._templates.add_handler(self._on_template)

    async def run(self) -> None:
        await synced(self._pods, self._claims, self._templates)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        pod = new or old or {}
        if new is None or plan.is_done(new):
            for use in devices.uses(pod):
                self._making.pop((uid(pod), use.entry), None)
            for claim in claim_keys(pod):
                self._queue.add((RESOURCE_CLAIM, claim))
        elif not is_deleting(new) and new["spec"].get("resourceClaims"):
            self._queue.add((POD, key(new)))

    def _on_claim(self, old: Obj | None, new: Obj | None) -> None:
        claim = key(new or old or {})
        if new is not None:
            self._queue.add((RESOURCE_CLAIM, claim))
        for pod in self._pods.by_index(BY_CLAIM, claim):
            self._on_pod(pod, pod)

    def _on_template(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            for pod in self._pods.by_index(BY_TEMPLATE, key(new)):
                self._on_pod(pod, pod)

    async def _sync(self, item: tuple[Kind, str]) -> None:
        kind, which = item
        if kind is RESOURCE_CLAIM:
            claim = self._claims.get(which)
            if claim is not None:
                await self._look_at_claim(claim)
            return
        pod = self._pods.get(which)
        if pod is not None and not is_deleting(pod) and not plan.is_done(pod):
            await self._furnish(pod)
            await self._reserve(pod)

    async def _furnish(self, pod: Obj) -> None:
        """Make the claims a pod lacks, and write down in its status which they are."""
        told = (pod.get("status") or {}).get("resourceClaimStatuses") or []
        known = {status["name"]: status.get("resourceClaimName") for status in told}
        for use in devices.uses(pod):
            try:
                if use.template and use.needed and (made := await self._made(pod, use)):
                    known[use.entry] = made
            except (errors.ApiError, RuntimeError) as error:
                if isinstance(error, errors.ApiError) and is_namespace_going(error):
                    return
                text = f"PodResourceClaim {use.entry}: {error}"
                self._context.recorder.event(pod, "Warning", "FailedResourceClaimCreation", text)
                raise RuntimeError(f"pod {key(pod)}, {text}") from error
        if known == {status["name"]: status.get("resourceClaimName") for status in told}:
            return
        # All of them each time: what an apply leaves out is taken away.
        statuses = [{"name": n, **({"resourceClaimName": c} if c else {})} for n, c in known.items()]
        metadata = {"name": name(pod), "namespace": namespace(pod), "uid": uid(pod)}
        wanted: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        wanted["status"] = {"resourceClaimStatuses": statuses}
        with contextlib.suppress(errors.NotFound):
            await self._context.client.patch(
                POD,
                name(pod),
                wanted,
                namespace(pod),
                subresource="status",
                patch_type=PatchType.APPLY,
                field_manager=FIELD_MANAGER,
                force=True,
            )

    async def _made(self, pod: Obj, use: devices.Use) -> str:
        """The claim of an entry, made where there is none. RuntimeError where the template is missing."""
        named = self._claims.get(f"{namespace(pod)}/{use.claim}") if use.claim else None
        if named is not None and not devices.not_made_for(named, pod):
            return use.claim
        if there := plan.found(pod, use, self._claims.by_index(ownership.CONTROLLER, uid(pod))):
            self._making.pop((uid(pod), use.entry), None)
            return there
        template = self._templates.get(f"{namespace(pod)}/{use.template}")
        if template is None:
            missing = f'resourceclaimtemplate.resource.k8s.io "{use.template}" not found'
            raise RuntimeError(f'resource claim template "{use.template}": {missing}')
        # The name is chosen before the request: a lost answer, or a cache that is behind, makes no second one.
        base = plan.base_of(name(pod), use.entry)
        chosen = self._making.setdefault((uid(pod), use.entry), generated_name(base))
        with contextlib.suppress(errors.AlreadyExists):
            await self._context.client.create(RESOURCE_CLAIM, plan.made(pod, use, template, chosen))
        return chosen

    async def _reserve(self, pod: Obj) -> None:
        """Reserve what is allocated for a pod that was bound without the scheduler's doing so."""
        if not pod["spec"].get("nodeName"):
            return
        for use in devices.uses(pod):
            claim = self._claims.get(f"{namespace(pod)}/{use.claim}")
            if claim is None or (use.template and devices.not_made_for(claim, pod)):
                continue
            status = claim.get("status") or {}
            if status.get("allocation") and not devices.is_reserved_for(claim, uid(pod)):
                users = [*(status.get("reservedFor") or ()), plan.consumer(pod)]
                reserved = {**claim, "status": {**status, "reservedFor": users}}
                await self._context.client.update(RESOURCE_CLAIM, reserved, subresource="status")

    async def _look_at_claim(self, claim: Obj) -> None:
        ended = {str(who["uid"]) for who in plan.pods_of(claim) if await self._has_ended(who, namespace(claim))}
        client = self._context.client
        with contextlib.suppress(errors.NotFound):
            left = plan.released(claim, ended)
            if left is not claim:
                # With the version it was planned from: whoever reserves it meanwhile makes this a conflict.
                left = await client.update(RESOURCE_CLAIM, left, subresource="status")
            if (free := plan.unprotected(left, claim)) is not None:
                left = await client.update(RESOURCE_CLAIM, free)
            if self._is_useless(left):
                await client.delete(RESOURCE_CLAIM, name(left), namespace(left), uid=uid(left))

    async def _has_ended(self, who: Obj, space: str) -> bool:
        """Whether a pod that holds a claim has ended. That it is gone, or another one by now, is asked of the API
        server itself: the scheduler may reserve before the cache knows of the pod, or while it shows one before it.
        """
        pod = self._pods.get(f"{space}/{who['name']}")
        if pod is None or uid(pod) != who["uid"]:
            try:
                pod = await self._context.client.get(POD, str(who["name"]), space)
            except errors.NotFound:
                return True
        return uid(pod) != who["uid"] or plan.is_done(pod)

    def _is_useless(self, claim: Obj) -> bool:
        """Whether it was made for a pod that will not use it any more. Of a pod that is gone the garbage collector
        takes it.
        """
        owner, owner_uid = plan.owning_pod(claim)
        pod = self._pods.get(f"{namespace(claim)}/{owner}") if owner else None
        used = (claim.get("status") or {}).get("reservedFor")
        return not used and not is_deleting(claim) and pod is not None and (uid(pod) != owner_uid or plan.is_done(pod))

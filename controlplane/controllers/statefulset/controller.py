"""Carries out the plan of each StatefulSet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from apimachinery import errors
from apimachinery.informer import Informer
from apimachinery.kinds import CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET
from apimachinery.objects import Obj, is_deleting, name, namespace, uid
from apimachinery.timestamps import now
from controlplane.controllers import ownership, revision_store
from controlplane.controllers.context import Context
from controlplane.controllers.owner_loop import OwnerLoop
from controlplane.controllers.pod_control import Words
from controlplane.controllers.replicaset.plan import Failure, batches
from controlplane.controllers.replicaset.plan import view as pod_view
from controlplane.controllers.statefulset import identity, revisions
from controlplane.controllers.statefulset.plan import Birth, Plan, plan


class StatefulSetController(OwnerLoop):
    """The loop."""

    kind = STATEFUL_SET
    words = Words(
        created="Create Pod {pod} in StatefulSet {owner} successful",
        not_created="Create Pod {pod} in StatefulSet {owner} failed error: {error}",
        deleted="Delete Pod {pod} in StatefulSet {owner} successful",
        not_deleted="Delete Pod {pod} in StatefulSet {owner} failed error: {error}",
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._claims = context.informers.of(PERSISTENT_VOLUME_CLAIM)
        self._revisions = context.informers.of(CONTROLLER_REVISION)
        ownership.index_by_owner(self._revisions)

    def informers(self) -> tuple[Informer, ...]:
        return *super().informers(), self._claims, self._revisions

    def is_member(self, owner: Obj, pod: Obj) -> bool:
        return identity.ordinal(owner, pod) is not None

    async def sync(self, item: str, owner: Obj, pods: list[Obj], settled: bool) -> None:
        found = ownership.candidates(self._revisions, owner)
        claimed = ownership.claim(owner, self.selector(owner), found)
        # Upstream never lets a revision go that its selector no longer picks.
        claimed = replace(claimed, owned=(*claimed.owned, *claimed.release), release=())
        stored = await ownership.settle(self._context.client, STATEFUL_SET, owner, CONTROLLER_REVISION, claimed)
        history = revisions.plan(owner, stored, pods)
        template = owner["spec"]["template"]
        changes = revision_store.Changes() if is_deleting(owner) else history.changes
        if not await revision_store.keep(self._context.client, changes, lambda r: revisions.is_of(r, template)):
            old = owner.get("status") or {}
            collisions = int(old.get("collisionCount") or 0) + 1
            await self._write_status(owner, {"replicas": 0, **old, "collisionCount": collisions})
            return
        todo = plan(owner, pods, self._known_claims(owner), history, now())
        if todo.again_in is not None:
            self._queue.add_after(item, todo.again_in)
        await self._write_status(owner, todo.status)
        if settled:
            await self._carry_out(owner, todo)

    def _known_claims(self, owner: Obj) -> dict[str, Obj]:
        """The set's claims that the cache has; of ordinals beyond the range, those of pods that are still there."""
        templates = owner["spec"].get("volumeClaimTemplates") or ()
        if not templates:
            return {}
        first = identity.start(owner)
        numbers = set(range(first, first + identity.replicas(owner)))
        numbers |= {
            number
            for pod in self._pods.by_index(ownership.CONTROLLER, uid(owner))
            if (number := identity.ordinal(owner, pod)) is not None
        }
        wanted = (identity.claim_name(owner, template, number) for template in templates for number in numbers)
        found = ((n, self._claims.get(f"{namespace(owner)}/{n}")) for n in wanted)
        return {n: claim for n, claim in found if claim is not None}

    async def _carry_out(self, owner: Obj, todo: Plan) -> None:
        for claim in todo.conflicts:
            text = (
                f"PersistentVolumeClaim {claim} has a conflicting OwnerReference that acts as a managing controller, "
                "the retention policy is ignored for this claim"
            )
            self._context.recorder.event(owner, "Warning", "ConflictingController", text)
        for birth in todo.claims:
            await self._make_claims(owner, birth)
        await self._bear(owner, todo.create)
        for claim_changed in todo.owned:
            await self._context.client.update(PERSISTENT_VOLUME_CLAIM, claim_changed)
        for pod in todo.repair:
            await self._repair(owner, pod)
        if todo.delete:
            _raise_if(await self._control.delete(owner, tuple(pod_view(pod) for pod in todo.delete)))
        if todo.waiting:
            # Nothing else brings the set back when a claim goes.
            raise RuntimeError("; ".join(todo.waiting))

    async def _bear(self, owner: Obj, births: Iterable[Birth]) -> None:
        waiting = list(births)
        for size in batches(len(waiting)):
            batch, waiting = waiting[:size], waiting[size:]
            for failure in await asyncio.gather(*(self._bear_one(owner, birth) for birth in batch)):
                _raise_if(failure)

    async def _bear_one(self, owner: Obj, birth: Birth) -> Failure | None:
        await self._make_claims(owner, birth)
        return await self._control.create_one(owner, birth.pod)

    async def _make_claims(self, owner: Obj, birth: Birth) -> None:
        tell, pod = self._context.recorder.event, name(birth.pod)
        for claim in birth.claims:
            what = f"Claim {name(claim)}"
            try:
                await self._context.client.create(PERSISTENT_VOLUME_CLAIM, claim)
            except errors.AlreadyExists:
                # The cache lags behind; it will show whose it is.
                continue
            except errors.ApiError as error:
                text = f"Create {what} for Pod {pod} in StatefulSet {name(owner)} failed error: {error}"
                tell(owner, "Warning", "FailedCreate", text)
                raise
            text = f"Create {what} Pod {pod} in StatefulSet {name(owner)} success"
            tell(owner, "Normal", "SuccessfulCreate", text)

    async def _repair(self, owner: Obj, pod: Obj) -> None:
        tell, what = self._context.recorder.event, f"Update Pod {name(pod)} in StatefulSet {name(owner)}"
        try:
            await self._context.client.update(POD, pod)
        except errors.Conflict:
            raise
        except errors.ApiError as error:
            tell(owner, "Warning", "FailedUpdate", f"{what} failed error: {error}")
            raise
        tell(owner, "Normal", "SuccessfulUpdate", f"{what} successful")


def _raise_if(failure: Failure | None) -> None:
    if failure is not None and failure.reason:
        raise RuntimeError(f"{failure.reason}: {failure.message}")

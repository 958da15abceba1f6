"""The volumes behind pods' claims: asked for once a pod, since what a bound claim leads to never changes.

So a container starts anew while the API server is away.
"""

from __future__ import annotations

from agent.failures import VolumeError
from apimachinery import kinds
from apimachinery.client import Client
from apimachinery.errors import ApiError, Forbidden, NotFound, Unreachable
from apimachinery.objects import Obj, is_deleting, key, uid
from apimachinery.volumes import claims
from apimachinery.volumes.claims import Use


class Claims:
    """One per agent; None for a client on a node without an API server."""

    def __init__(self, client: Client | None) -> None:
        self._client = client
        self._volumes: dict[str, dict[str, Obj]] = {}

    async def volume(self, pod: Obj, use: Use) -> Obj:
        """The PersistentVolume that a pod's claim is bound to. Raises VolumeError with upstream's words."""
        known = self._volumes.setdefault(pod["metadata"]["uid"], {})
        if use.claim not in known:
            known[use.claim] = await self._asked(pod, use)
        return known[use.claim]

    def release(self, pod_uid: str) -> None:
        """The pod is gone."""
        self._volumes.pop(pod_uid, None)

    async def _asked(self, pod: Obj, use: Use) -> Obj:
        space = pod["metadata"].get("namespace", "default")
        what = f"error processing PVC {space}/{use.claim}"
        claim = await self._get(kinds.PERSISTENT_VOLUME_CLAIM, use.claim, space, f"{what}: failed to fetch PVC")
        if use.ephemeral and (wrong := claims.not_made_for(claim, pod)):
            raise VolumeError(wrong)
        if is_deleting(claim):
            raise VolumeError(f"{what}: PVC is being deleted")
        if (claim.get("status") or {}).get("phase") != "Bound" or not claim["spec"].get("volumeName"):
            # A node may read claims one by one, but not watch them.
            raise VolumeError(f"{what}: PVC is not bound", settling=True, awaited=True)
        which = claim["spec"]["volumeName"]
        volume = await self._get(kinds.PERSISTENT_VOLUME, which, None, f"{what}: failed to fetch PV {which}")
        bound_to = (volume["spec"].get("claimRef") or {}).get("uid")
        if bound_to != uid(claim):
            raise VolumeError(f'{what}: PV {which} is bound to another claim than {key(claim)} ("{bound_to}")')
        return volume

    async def _get(self, kind: kinds.Kind, name: str, space: str | None, what: str) -> Obj:
        if self._client is None:
            raise VolumeError(f"{what}: no API server to ask")
        try:
            return await self._client.get(kind, name, space)
        except (ApiError, Unreachable) as error:
            # The authorizer learns of a bound pod a moment after this agent does.
            missing = isinstance(error, (Forbidden, NotFound))
            raise VolumeError(f"{what} from API server: {error}", settling=missing, awaited=missing) from error

"""How many pods a pod's controller wants: from the caches for our own kinds, from /scale for all others."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery import errors
from apimachinery.informer import Informer
from apimachinery.kinds import DEPLOYMENT, REPLICA_SET, REPLICATION_CONTROLLER, STATEFUL_SET
from apimachinery.objects import Obj, controller_of, name, namespace, uid
from controlplane.controllers.context import Context
from controlplane.controllers.served import ServedKinds

KNOWN = (DEPLOYMENT, REPLICA_SET, REPLICATION_CONTROLLER, STATEFUL_SET)


class Unknown(Exception):
    """Nobody says how many pods there are to be; the text is for the budget's condition."""


class Scales:
    """One for the loop; a kind that the server came to serve later is found when it is first met."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._caches = {(kind.group, kind.kind): context.informers.of(kind) for kind in KNOWN}
        self._served = ServedKinds(context.client)

    def informers(self) -> tuple[Informer, ...]:
        return tuple(self._caches.values())

    async def total(self, pods: Sequence[Obj]) -> int:
        """The sum over the pods' controllers, each counted once. Unknown, ApiError, Unreachable."""
        found: dict[str, int] = {}
        seen: set[str] = set()
        for pod in pods:
            reference = controller_of(pod)
            if reference is None or reference["uid"] in seen:
                continue
            seen.add(reference["uid"])
            owner, count = self._cached(reference, namespace(pod)) or await self._asked(reference, pod)
            found[owner] = count
        return sum(found.values())

    def _cached(self, reference: Obj, space: str) -> tuple[str, int] | None:
        cache = self._caches.get(_group_kind(reference))
        owner = cache.get(f"{space}/{reference['name']}") if cache is not None else None
        if owner is None or uid(owner) != reference["uid"]:
            return None
        # The ReplicaSets of one Deployment are one controller, whose rollout moves pods between them.
        above = controller_of(owner)
        higher = self._cached(above, space) if above is not None else None
        return higher or (uid(owner), int(owner["spec"].get("replicas", 1)))

    async def _asked(self, reference: Obj, pod: Obj) -> tuple[str, int]:
        kind = await self._served.of(*_group_kind(reference))
        if kind is None:
            raise Unknown(f"found no controllers for pod {name(pod)!r}")
        if "scale" not in kind.subresources:
            raise Unknown(f"{kind.plural}.{kind.group} does not implement the scale subresource")
        try:
            scale = await self._client.get(kind, reference["name"], namespace(pod), subresource="scale")
        except errors.NotFound:
            scale = {}
        if not scale or uid(scale) != reference["uid"]:
            raise Unknown(f"found no controllers for pod {name(pod)!r}")
        return uid(scale), int((scale.get("spec") or {}).get("replicas") or 0)


def _group_kind(reference: Obj) -> tuple[str, str]:
    group, slash, _ = str(reference.get("apiVersion") or "").rpartition("/")
    return (group if slash else "", str(reference.get("kind")))

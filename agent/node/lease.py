"""The node's lease: a cheap heartbeat beside the large status.

Source: https://kubernetes.io/docs/concepts/architecture/leases/#node-heart-beats .
"""

from __future__ import annotations

import asyncio
import logging
import random

from apimachinery import kinds, objects, timestamps
from apimachinery.client import Client
from apimachinery.errors import AlreadyExists, ApiError, Conflict, NotFound, Unreachable
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
# A lease lives four renewals.
_DURATION_FACTOR = 4
_FAST_RETRIES = 5
_FAST_RETRY_SECONDS = 0.2


def lifetime(period: float) -> int:
    """How many seconds a lease lives that is renewed every `period`."""
    return int(period * _DURATION_FACTOR)


def renewed(lease: Obj | None, node_name: str, node: Obj | None, duration: int, now: str) -> Obj:
    """The lease to write: `lease` with a new time, or a new one owned by `node`."""
    fresh: Obj = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    new = objects.copy(lease) if lease else fresh
    meta = new.setdefault("metadata", {})
    meta.update({"name": node_name, "namespace": NAMESPACE})
    if node is not None:
        uid = node["metadata"].get("uid", "")
        owner = {"apiVersion": "v1", "kind": "Node", "name": node_name, "uid": uid}
        others = [o for o in meta.get("ownerReferences") or () if (o.get("kind"), o.get("name")) != ("Node", node_name)]
        meta["ownerReferences"] = [owner, *others]
    new.setdefault("spec", {}).update({"holderIdentity": node_name, "leaseDurationSeconds": duration, "renewTime": now})
    return new


class LeaseKeeper:
    """Renews one lease until cancelled, starting once the node is known."""

    def __init__(self, client: Client, node_name: str, period: float) -> None:
        self._client = client
        self._name = node_name
        self._period = period
        self._known = asyncio.Event()
        self._node: Obj | None = None
        self._lease: Obj | None = None

    def node_known(self, node: Obj) -> None:
        """The node is registered; the lease is bound to it."""
        self._node = node
        self._known.set()

    async def run(self) -> None:
        """Renew every period."""
        await self._known.wait()
        while True:
            await self._renew_with_retries()
            await asyncio.sleep(self._period * (1 + 0.04 * random.random()))

    async def _renew_with_retries(self) -> None:
        for attempt in range(_FAST_RETRIES):
            try:
                self._lease = await asyncio.wait_for(self._renew(), self._period)
                return
            except (Conflict, AlreadyExists, NotFound):
                self._lease = None
            except (ApiError, Unreachable, asyncio.TimeoutError) as error:
                log.warning("lease %s: not renewed: %s", self._name, error)
                if isinstance(error, asyncio.TimeoutError):
                    return
            await asyncio.sleep(_FAST_RETRY_SECONDS * (attempt + 1))

    async def _renew(self) -> Obj:
        if self._lease is None:
            try:
                self._lease = await self._client.get(kinds.LEASE, self._name, NAMESPACE)
            except NotFound:
                return await self._client.create(kinds.LEASE, self._next(None), namespace=NAMESPACE)
        return await self._client.update(kinds.LEASE, self._next(self._lease))

    def _next(self, lease: Obj | None) -> Obj:
        return renewed(lease, self._name, self._node, lifetime(self._period), timestamps.format_micro(timestamps.now()))

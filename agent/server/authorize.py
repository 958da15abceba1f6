"""Asks the API server who a token is and what a client may do, and remembers the answers as upstream's kubelet does."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from agent.server.access import (
    Peer,
    Question,
    Refusal,
    allowed_alone,
    bearer_token,
    peer_of,
    question,
    review_of,
    reviewed,
    told,
)
from apimachinery.client import Client
from apimachinery.errors import ApiError, Unreachable
from apimachinery.kinds import SUBJECT_ACCESS_REVIEW, TOKEN_REVIEW

log = logging.getLogger(__name__)

# The kubelet's defaults of cacheTTL, cacheAuthorizedTTL and cacheUnauthorizedTTL.
TOKEN_SECONDS = 120.0
ALLOWED_SECONDS = 300.0
DENIED_SECONDS = 30.0
REMEMBERED = 1024

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Answers that are good for a while; the oldest go when there are too many."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> tuple[V] | None:
        """(the answer,), or None."""
        found = self._known.get(key)
        return (found[1],) if found is not None and self._clock() < found[0] else None

    def put(self, key: K, value: V, seconds: float) -> None:
        self._known.pop(key, None)
        self._known[key] = (self._clock() + seconds, value)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


class Gate:
    """Decides about each request. ``client`` None: a node without an API server, where certificates alone count."""

    def __init__(self, client: Client | None, node: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._node = node
        self._peers: Memory[bytes, Peer | None] = Memory(clock)
        self._decisions: Memory[tuple[Peer, Question, str], bool] = Memory(clock)

    async def refusal(
        self, subject: Iterable[Iterable[tuple[str, str]]] | None, authorization: str, method: str, path: str
    ) -> Refusal | None:
        """(status, text) for a client that may not come in; None for one that may."""
        peer = peer_of(subject)
        try:
            if peer is None:
                peer = await self._by_token(bearer_token(authorization))
        except (ApiError, Unreachable) as error:
            log.warning("a token cannot be reviewed: %s", error)
        if peer is None:
            return 401, "Unauthorized"
        wanted = question(method, path)
        try:
            allowed = await self._allowed(peer, wanted)
        except (ApiError, Unreachable) as error:
            log.warning("cannot ask what %s may do: %s", peer.user, error)
            return 500, f"Authorization error {told(peer, wanted)}"
        return None if allowed else (403, f"Forbidden {told(peer, wanted)}")

    async def _by_token(self, token: str) -> Peer | None:
        if not token or self._client is None:
            return None
        key = hashlib.sha256(token.encode()).digest()
        known = self._peers.get(key)
        if known is not None:
            return known[0]
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        peer = reviewed((await self._client.create(TOKEN_REVIEW, review)).get("status") or {})
        self._peers.put(key, peer, TOKEN_SECONDS)
        return peer

    async def _allowed(self, peer: Peer, wanted: Question) -> bool:
        if self._client is None:
            return allowed_alone(peer)
        for subresource in wanted.subresources:
            if await self._may(self._client, peer, wanted, subresource):
                return True
        return False

    async def _may(self, client: Client, peer: Peer, wanted: Question, subresource: str) -> bool:
        key = (peer, wanted, subresource)
        known = self._decisions.get(key)
        if known is not None:
            return known[0]
        review = review_of(peer, wanted, subresource, self._node)
        answer = await client.create(SUBJECT_ACCESS_REVIEW, review)
        allowed = bool((answer.get("status") or {}).get("allowed"))
        self._decisions.put(key, allowed, ALLOWED_SECONDS if allowed else DENIED_SECONDS)
        return allowed

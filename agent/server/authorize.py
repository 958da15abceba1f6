"""Asks the API server who a token is and what a client may do, and remembers the answers as upstream's kubelet does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from agent.server.access import Question, allowed_alone, attributes_of, question, told
from apimachinery.client import Client
from apimachinery.delegation import Delegate, Patience, Peer, Refusal, Subject, bearer_token, peer_of
from apimachinery.errors import ApiError, Unreachable

log = logging.getLogger(__name__)

# The kubelet's defaults of cacheTTL, cacheAuthorizedTTL and cacheUnauthorizedTTL.
PATIENCE = Patience(token=120.0, allowed=300.0, denied=30.0)


class Gate:
    """Decides about each request. `client` None: a node without an API server, where certificates alone count."""

    def __init__(self, client: Client | None, node: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._delegate = Delegate(client, PATIENCE, clock) if client is not None else None
        self._node = node

    async def refusal(self, subject: Subject | None, authorization: str, method: str, path: str) -> Refusal | None:
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
        return await self._delegate.peer(token) if token and self._delegate is not None else None

    async def _allowed(self, peer: Peer, wanted: Question) -> bool:
        if self._delegate is None:
            return allowed_alone(peer)
        for subresource in wanted.subresources:
            attributes = attributes_of(wanted, subresource, self._node)
            if await self._delegate.may(peer, (wanted, subresource), attributes):
                return True
        return False

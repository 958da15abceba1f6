"""Delegated authentication and authorization: a daemon asks the API server who its client is and what that one may do.

The kubelet, the scheduler and the controllers do so. A client is known by a certificate that the client CA signed, or
by a token (TokenReview); whether it may is a SubjectAccessReview. Answers are remembered for a while, as upstream does.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from apimachinery.client import Client
from apimachinery.errors import ApiError, Unreachable
from apimachinery.kinds import SUBJECT_ACCESS_REVIEW, TOKEN_REVIEW

log = logging.getLogger(__name__)

AUTHENTICATED = "system:authenticated"
ANONYMOUS = "system:anonymous"
REMEMBERED = 1024

Refusal = tuple[int, str]
Subject = Iterable[Iterable[tuple[str, str]]]
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class Peer:
    """A client: its user name and groups, as authentication.k8s.io UserInfo has them."""

    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


NOBODY = Peer(ANONYMOUS, ("system:unauthenticated",))


@dataclass(frozen=True)
class Patience:
    """Seconds that answers are good for; the defaults are those of upstream's control plane."""

    token: float = 10.0
    allowed: float = 10.0
    denied: float = 10.0


def peer_of(subject: Subject | None) -> Peer | None:
    """The subject of a verified certificate as Python's ssl module shows it; None without a certificate."""
    pairs = [pair for rdn in subject or () for pair in rdn]
    users = [value for name, value in pairs if name == "commonName"]
    groups = tuple(value for name, value in pairs if name == "organizationName")
    return Peer(users[0], (*groups, AUTHENTICATED)) if users else None


def reviewed(status: Mapping[str, Any]) -> Peer | None:
    """The user in a TokenReview's status; None for a token that is no good."""
    user = status.get("user") or {}
    if not status.get("authenticated") or not user.get("username"):
        return None
    groups = tuple(user.get("groups") or ())
    if AUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    extra = {key: tuple(values) for key, values in (user.get("extra") or {}).items()}
    return Peer(user["username"], groups, user.get("uid", ""), extra)


def bearer_token(header: str) -> str:
    """The token of an Authorization header; "" for none."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def review_of(peer: Peer, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The SubjectAccessReview about a peer; attributes are resourceAttributes or nonResourceAttributes of its spec."""
    spec: dict[str, Any] = {"user": peer.user, "groups": list(peer.groups), **attributes}
    if peer.uid:
        spec["uid"] = peer.uid
    if peer.extra:
        spec["extra"] = {key: list(values) for key, values in peer.extra.items()}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


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


class Delegate:
    """Who and whether, asked of the API server. Raises ApiError, Unreachable when it cannot be asked."""

    def __init__(
        self, client: Client, patience: Patience | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._patience = patience or Patience()
        self._peers: Memory[bytes, Peer | None] = Memory(clock)
        self._decisions: Memory[tuple[Peer, Hashable], bool] = Memory(clock)

    async def peer(self, token: str) -> Peer | None:
        """Whose token it is; None for nobody's."""
        key = hashlib.sha256(token.encode()).digest()
        known = self._peers.get(key)
        if known is not None:
            return known[0]
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        found = reviewed((await self._client.create(TOKEN_REVIEW, review)).get("status") or {})
        self._peers.put(key, found, self._patience.token)
        return found

    async def may(self, peer: Peer, question: Hashable, attributes: Mapping[str, Any]) -> bool:
        """Whether a peer may; question names what attributes ask, for the memory."""
        key = (peer, question)
        known = self._decisions.get(key)
        if known is not None:
            return known[0]
        answer = await self._client.create(SUBJECT_ACCESS_REVIEW, review_of(peer, attributes))
        allowed = bool((answer.get("status") or {}).get("allowed"))
        self._decisions.put(key, allowed, self._patience.allowed if allowed else self._patience.denied)
        return allowed


class PathGate:
    """Decides about requests for plain paths. Those in `open_paths` are for everybody, as health is upstream."""

    def __init__(self, delegate: Delegate, open_paths: Iterable[str]) -> None:
        self._delegate = delegate
        self._open = frozenset(open_paths)

    async def refusal(self, subject: Subject | None, authorization: str, method: str, path: str) -> Refusal | None:
        """(status, text) for a client that may not come in; None for one that may."""
        if path in self._open:
            return None
        try:
            peer = peer_of(subject)
            if peer is None and (token := bearer_token(authorization)):
                peer = await self._delegate.peer(token)
                if peer is None:
                    return 401, "Unauthorized\n"
            return await self._judge(peer or NOBODY, method.lower(), path)
        except (ApiError, Unreachable) as error:
            log.warning("cannot ask what a client of %s may do: %s", path, error)
            return 500, "Internal Server Error: the API server cannot be asked who may do this\n"

    async def _judge(self, peer: Peer, verb: str, path: str) -> Refusal | None:
        attributes = {"nonResourceAttributes": {"path": path, "verb": verb}}
        if await self._delegate.may(peer, (verb, path), attributes):
            return None
        return 403, f'forbidden: User "{peer.user}" cannot {verb} path "{path}"\n'

"""Who may use the agent's API; pure.

An answer here can be a shell in any container. A client is known by its certificate or by a token; what it may do is
asked of the API server (`authorize`), or, on a node without one, said here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

AUTHENTICATED = "system:authenticated"
# Who gets in where nobody can be asked: organizations and common names of certificates signed by the client CA.
ALLOWED_GROUPS = frozenset({"system:masters"})
ALLOWED_USERS = frozenset({"kube-apiserver-kubelet-client", "kube-apiserver"})
VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# Paths that have a subresource of nodes of their own; `proxy` stands for everything.
OWN = {"stats": "stats", "metrics": "metrics", "logs": "log"}
# Finer ones (KEP-2862): who may do `proxy` may do these too.
FINE = {"pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz"}

Refusal = tuple[int, str]


@dataclass(frozen=True)
class Peer:
    """A client: its user name and groups, as authentication.k8s.io UserInfo has them."""

    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Question:
    """What a request wants: a verb on any of these subresources of our Node."""

    verb: str
    subresources: tuple[str, ...]


def peer_of(subject: Iterable[Iterable[tuple[str, str]]] | None) -> Peer | None:
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


def question(method: str, path: str) -> Question:
    """What upstream's kubelet asks about a request."""
    first = path.strip("/").split("/", 1)[0]
    if first in FINE:
        return Question(VERBS.get(method, ""), (FINE[first], "proxy"))
    return Question(VERBS.get(method, ""), (OWN.get(first, "proxy"),))


def allowed_alone(peer: Peer) -> bool:
    """Whether a client may come in where there is no API server to ask."""
    return peer.user in ALLOWED_USERS or not ALLOWED_GROUPS.isdisjoint(peer.groups)


def review_of(peer: Peer, wanted: Question, subresource: str, node: str) -> dict[str, Any]:
    """The SubjectAccessReview that asks it."""
    attributes = {"verb": wanted.verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": node}
    spec: dict[str, Any] = {"user": peer.user, "groups": list(peer.groups), "resourceAttributes": attributes}
    if peer.uid:
        spec["uid"] = peer.uid
    if peer.extra:
        spec["extra"] = {key: list(values) for key, values in peer.extra.items()}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def told(peer: Peer, wanted: Question) -> str:
    """What a refusal says it is about."""
    subresources = " ".join(wanted.subresources)
    return f"(user={peer.user}, verb={wanted.verb}, resource=nodes, subresource(s)=[{subresources}])"

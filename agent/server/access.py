"""Who may use the agent's API; pure.

An answer here can be a shell in any container. A client is known by its certificate or by a token; what it may do is
asked of the API server (`authorize`), or, on a node without one, said here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apimachinery.delegation import Peer

# Who gets in where nobody can be asked: organizations and common names of certificates signed by the client CA.
ALLOWED_GROUPS = frozenset({"system:masters"})
ALLOWED_USERS = frozenset({"kube-apiserver-kubelet-client", "kube-apiserver"})
VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# Paths that have a subresource of nodes of their own; `proxy` stands for everything.
OWN = {
    "stats": "stats",
    "metrics": "metrics",
    "logs": "log",
    "checkpoint": "checkpoint",
    "statusz": "statusz",
    "flagz": "configz",
}
# Finer ones (KEP-2862): who may do `proxy` may do these too.
FINE = {"pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz"}


@dataclass(frozen=True)
class Question:
    """What a request wants: a verb on any of these subresources of our Node."""

    verb: str
    subresources: tuple[str, ...]


def question(method: str, path: str) -> Question:
    """What upstream's kubelet asks about a request."""
    first = path.strip("/").split("/", 1)[0]
    if first in FINE:
        return Question(VERBS.get(method, ""), (FINE[first], "proxy"))
    return Question(VERBS.get(method, ""), (OWN.get(first, "proxy"),))


def allowed_alone(peer: Peer) -> bool:
    """Whether a client may come in where there is no API server to ask."""
    return peer.user in ALLOWED_USERS or not ALLOWED_GROUPS.isdisjoint(peer.groups)


def attributes_of(wanted: Question, subresource: str, node: str) -> dict[str, Any]:
    """What a SubjectAccessReview about it asks."""
    asked = {"verb": wanted.verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": node}
    return {"resourceAttributes": asked}


def told(peer: Peer, wanted: Question) -> str:
    """What a refusal says it is about."""
    subresources = " ".join(wanted.subresources)
    return f"(user={peer.user}, verb={wanted.verb}, resource=nodes, subresource(s)=[{subresources}])"

"""Who may use the agent's API; pure.

An answer here can be a shell in any container, so only the API server and administrators get in, by client
certificate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Organizations and common names of certificates signed by the client CA.
ALLOWED_GROUPS = frozenset({"system:masters"})
ALLOWED_USERS = frozenset({"kube-apiserver-kubelet-client", "kube-apiserver"})


@dataclass(frozen=True)
class Peer:
    """A verified client certificate's subject."""

    user: str
    groups: tuple[str, ...] = ()


def peer_of(subject: Iterable[Iterable[tuple[str, str]]] | None) -> Peer | None:
    """The subject as Python's ssl module shows it; None without a certificate."""
    pairs = [pair for rdn in subject or () for pair in rdn]
    users = [value for name, value in pairs if name == "commonName"]
    groups = tuple(value for name, value in pairs if name == "organizationName")
    return Peer(users[0], groups) if users else None


def refusal(peer: Peer | None, method: str, subresource: str) -> tuple[int, str] | None:
    """(status, text) for a client that may not come in; None for one that may."""
    if peer is None:
        return 401, "Unauthorized"
    if peer.user in ALLOWED_USERS or ALLOWED_GROUPS.intersection(peer.groups):
        return None
    verb = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}.get(method, "")
    text = f"Forbidden (user={peer.user}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])"
    return 403, text


def subresource_of(path: str) -> str:
    """The nodes subresource upstream's kubelet asks about for a path."""
    first = path.strip("/").split("/", 1)[0]
    special = {"stats": "stats", "metrics": "metrics", "logs": "log", "pods": "pods", "runningpods": "pods"}
    special.update({"healthz": "healthz", "configz": "configz"})
    return special.get(first, "proxy")

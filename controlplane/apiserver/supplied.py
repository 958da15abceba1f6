"""What the edges supply to the server's core.

The core (routing, storage, cache, registry) knows no authentication scheme, no authorizer, no table columns and no
streaming protocol; they arrive here as values of these types, put together by edge.assemble(). The pipeline, which
calls them, knows of all that only how a refusal is worded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from controlplane.apiserver.admission_request import AdmissionChain
from controlplane.apiserver.discovery import Sources
from controlplane.apiserver.encoding import Negotiate
from controlplane.apiserver.request import Attributes, Decision, Handler, Request, User

Authenticate = Callable[[Request], Awaitable["User | None"]]
Authorize = Callable[[User, Attributes], Awaitable[Decision]]


@dataclass(frozen=True)
class Routes:
    """What a module serves.

    resources: (resource, subresource, verb) -> handler, where resource is Kind.resource ("pods", "deployments.apps")
    or "*" (every kind that has the subresource), subresource may be "" (the resource itself: replaces the generic
    handler) and verb may be "*".
    paths: a path prefix -> handler for non-resource paths; the longest prefix that ends at a "/" or the end wins; a
    key that ends in "$" matches the exact path alone ("/version$").
    """

    resources: Mapping[tuple[str, str, str], Handler] = field(default_factory=dict)
    paths: Mapping[str, Handler] = field(default_factory=dict)


def nobody_else(request: Request) -> Handler | None:
    """Where this server answers everything itself."""
    return None


@dataclass(frozen=True)
class Edge:
    """Everything the edges supply.

    sources: what discovery is made of; elsewhere: who answers a request that another server serves.
    """

    authenticate: Authenticate
    authorize: Authorize
    negotiate: Negotiate
    admission: AdmissionChain
    sources: Sources
    routes: Routes = field(default_factory=Routes)
    elsewhere: Callable[[Request], Handler | None] = nobody_else

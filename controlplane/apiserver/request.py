"""What one API request is and what an answer to it is: what the pipeline hands to every handler, and gets.

Values only. The transport appears as an opaque field for the handlers that take the connection over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from apimachinery.objects import Obj
from apimachinery.selectors import SelectorError, parse_fields

if TYPE_CHECKING:
    from apimachinery.kinds import Kind
    from controlplane.apiserver.catalog.catalog import Catalog


@dataclass(frozen=True)
class User:
    """Who asks: as in authentication.k8s.io UserInfo."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))


@dataclass(slots=True)
class Request:
    """One request, parsed as upstream's RequestInfo does it. The pipeline alone changes it, and only its user.

    verb is get, list, watch, create, update, patch, delete or deletecollection for a resource ("" for a method that
    is none of these), and the HTTP method in lower case for anything else (kind is None then, resource is ""). tail
    is what follows a subresource in the path (the proxied path of .../proxy/a/b is "/a/b"). query keeps every value
    of a repeated parameter. headers is case-insensitive. body() reads and returns the whole body (413 past the
    limit); stream() yields it piecemeal. transport is the client's asyncio transport (for peercert, peername and
    for taking the connection over); raw is the
    HTTP library's own request, for http/ alone.
    """

    method: str
    path: str
    verb: str
    group: str
    version: str
    resource: str
    subresource: str
    namespace: str
    name: str
    tail: str
    kind: Kind | None
    query: Mapping[str, Sequence[str]]
    raw_query: str
    headers: Mapping[str, str]
    user: User
    body: Callable[[], Awaitable[bytes]]
    stream: Callable[[], AsyncIterator[bytes]]
    transport: asyncio.Transport | None
    # The kinds that are served at the moment.
    catalog: Catalog
    raw: Any = None
    audit_id: str = ""
    # What the client is to be told, whatever comes of the request.
    warnings: list[str] = field(default_factory=list)

    def param(self, key: str, default: str = "") -> str:
        """The first value of a query parameter, as upstream reads it."""
        values = self.query.get(key)
        return values[0] if values else default

    @property
    def served(self) -> Kind:
        """The kind asked for, where the router has made sure that there is one."""
        assert self.kind is not None
        return self.kind

    @property
    def space(self) -> str:
        """The namespace that objects are kept under: none for a Namespace, whatever its URL says."""
        return self.namespace if self.served.namespaced else ""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)

    @property
    def is_upgrade(self) -> bool:
        """Whether another protocol is asked for."""
        return "Upgrade" in self.headers and "upgrade" in self.headers.get("Connection", "").lower()


def asks_for_websocket(headers: Mapping[str, str]) -> bool:
    """Whether a client asks for a WebSocket."""
    return headers.get("Upgrade", "").lower() == "websocket" and "upgrade" in headers.get("Connection", "").lower()


class CutShort(Exception):
    """Somebody else's answer, passed on as it comes, has ended early: told by a connection that breaks off."""


def _whole(piece: bytes) -> Sequence[bytes]:
    return (piece,) if piece else ()


@dataclass(frozen=True)
class Socket:
    """How a stream is told to a client that asks for a WebSocket: which messages a piece makes, as text or not, in one
    of which subprotocols (none: any), and whether an empty message comes first.
    """

    messages: Callable[[bytes], Sequence[bytes]] = _whole
    text: bool = False
    protocols: tuple[str, ...] = ()
    greets: bool = False


@dataclass(frozen=True)
class Shared:
    """A body whose size is known and which is made as it is sent, of bytes that many answers share."""

    size: int
    pieces: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Response:
    """A finished answer: status, bytes or a stream of pieces, and headers (of which some may stand several times).

    A stream is sent chunked, each piece flushed at once, and closed (aclose) when the client goes away; with a
    `socket` a client may have it over a WebSocket instead.
    """

    status: int
    body: bytes | Shared | AsyncIterator[bytes] = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    socket: Socket | None = None


@dataclass(frozen=True)
class Answer:
    """An object still to be put into the encoding that the client asked for (JSON, YAML, protobuf, Table,
    metadata only).

    kind None means: obj carries its own apiVersion and kind (a Status, a Scale, a review). What the request was warned
    of goes with it.
    """

    status: int
    obj: Obj
    kind: Kind | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Hijacked:
    """Returned by a handler that took the connection over; the pipeline writes nothing more."""


HIJACKED = Hijacked()

Reply = Response | Answer | Hijacked
Handler = Callable[[Request], Awaitable[Reply]]


@dataclass(frozen=True)
class Attributes:
    """What an authorizer decides on: authorization.k8s.io's resource or non-resource attributes."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""
    label_selector: str = ""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)


@dataclass(frozen=True)
class Decision:
    allowed: bool
    reason: str = ""


def attributes(request: Request) -> Attributes:
    """The question a request puts to the authorizers."""
    if not request.is_resource:
        return Attributes(verb=request.verb, path=request.path)
    return Attributes(
        verb=request.verb,
        group=request.group,
        version=request.version,
        resource=request.resource,
        subresource=request.subresource,
        namespace=request.namespace,
        name=request.name or _selected_name(request),
        path=request.path,
        field_selector=request.param("fieldSelector"),
        label_selector=request.param("labelSelector"),
    )


def _selected_name(request: Request) -> str:
    """The one name that a list, watch or deletecollection is restricted to, as upstream authorizes it; "" for none."""
    selector = request.param("fieldSelector") if request.verb in ("list", "watch", "deletecollection") else ""
    if not selector:
        return ""
    try:
        found = parse_fields(selector).requirements
    except SelectorError:
        return ""
    exact = {r.value for r in found if r.path == "metadata.name" and r.operator == "="}
    name = exact.pop() if len(exact) == 1 else ""
    return name if name not in (".", "..") and not {"/", "%"} & set(name) else ""

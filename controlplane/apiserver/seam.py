"""The seam between the server's core and its edges: what an edge may supply and what it is given.

The core (routing, storage, cache, registry) knows no authentication scheme, no authorizer, no table columns
and no streaming protocol; they arrive here as values of these types, put together by edge.assemble().
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from apimachinery.objects import Obj
from controlplane.apiserver.request import Attributes, Decision, Handler, Request, User

if TYPE_CHECKING:
    from apimachinery.kinds import Kind
    from apimachinery.kit.lifecycle import Lifecycle
    from controlplane.apiserver.catalog.strategy import Reservation
    from controlplane.apiserver.registry import Registry
    from controlplane.apiserver.settings import Settings

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass
class Admission:
    """One write on its way to the store. Mutating steps change obj in place; every step may raise an ApiError.

    obj is the new object (None on DELETE), old the stored one (None on CREATE; shared, never to be changed). On a
    CREATE or CONNECT of a subresource obj is the request's own body or options (a Binding, PodExecOptions).
    options is the CreateOptions/UpdateOptions/PatchOptions/DeleteOptions as a dict. version is the client's, "" when
    it is the stored one. name is what refusals call the object; given_name is "" for a name still to be generated.
    changed says that obj became another one (a webhook's patch). reservations are kept when the write is stored and
    released in any case; annotations are for the audit log. admitted: a part of what has been admitted already.
    """

    user: User
    operation: Operation
    kind: Kind
    subresource: str
    namespace: str
    name: str
    obj: Obj | None
    old: Obj | None
    options: Obj
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    version: str = ""
    given_name: str = ""
    changed: bool = False
    reservations: list[Reservation] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    admitted: bool = False
    # A plugin changed what those before it have seen: the mutating phase runs once more, and `again` says so then.
    reinvoke: bool = False
    again: bool = False
    memory: dict[str, object] = field(default_factory=dict)


class AdmissionChain(Protocol):
    """What a write is asked before it is stored: admit may change it, validate may not. Both raise ApiError."""

    async def admit(self, admission: Admission) -> None: ...
    async def validate(self, admission: Admission) -> None: ...


Authenticate = Callable[[Request], Awaitable["User | None"]]
Authorize = Callable[[User, Attributes], Awaitable[Decision]]


class Format(Protocol):
    """An encoding other than plain JSON, chosen by the Accept header.

    Equal keys give equal bytes for equal objects: an event is encoded once per key and shared by its watchers.
    one answers a get; many a list, by pieces (some of them empty) made one at a time as they are taken, since an item
    may take a while; event is one whole frame of a watch (newline or length prefix included), where first says that it
    is the first of its stream (a Table sends its columns then). Objects are shared: never changed.
    messages takes frames apart again, without what delimits them.
    items of many() and obj of event() carry apiVersion and kind. metadata of many() is the ListMeta.
    event() with type ERROR is given a Status, with BOOKMARK an object of the kind with metadata.resourceVersion
    alone. as_stored: objects are wanted in the version they are stored under, since nothing of the answer is of the
    version asked for.
    """

    @property
    def key(self) -> str: ...
    @property
    def as_stored(self) -> bool: ...
    @property
    def content_type(self) -> str: ...
    @property
    def stream_type(self) -> str: ...
    def one(self, kind: Kind | None, obj: Obj) -> bytes: ...
    def many(self, kind: Kind, items: Iterable[Obj], metadata: Obj) -> Iterator[bytes]: ...
    def event(self, type: str, kind: Kind, obj: Obj, first: bool) -> bytes: ...
    def messages(self, frames: bytes) -> Sequence[bytes]: ...


# None: plain JSON, which the core serves from stored bytes. Raises NotAcceptable.
Negotiate = Callable[[Request], "Format | None"]


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


@dataclass(frozen=True)
class Edge:
    """Everything the edges supply."""

    authenticate: Authenticate
    authorize: Authorize
    negotiate: Negotiate
    admission: AdmissionChain
    routes: Routes = field(default_factory=Routes)


@dataclass(frozen=True)
class Parts:
    """What an edge is built from."""

    settings: Settings
    registry: Registry
    lifecycle: Lifecycle

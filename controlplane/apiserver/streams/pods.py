"""Handlers of pods/NAME/log, exec, attach and portforward."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import POD
from apimachinery.objects import Obj
from controlplane.apiserver.authn.authenticator import without_token
from controlplane.apiserver.authz.chain import refusal
from controlplane.apiserver.request import (
    HIJACKED,
    Attributes,
    Decision,
    Reply,
    Request,
    Response,
    Socket,
    User,
    attributes,
)
from controlplane.apiserver.streams import options, tunnel, wire
from controlplane.apiserver.streams.backend import Agents, Connection

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

# What the two upgrade protocols say in their handshakes, and nothing else of the client's headers, reaches the agent.
HANDSHAKE = frozenset(
    {
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "x-stream-protocol-version",
        "x-accept-stream-protocol-version",
    }
)
# A log's subprotocols: as it is, also without one, or in base64.
_LOG_SOCKET = Socket(protocols=("binary.k8s.io", "base64.binary.k8s.io"), greets=True)
Authorize = Callable[[User, Attributes], Awaitable[Decision]]


class PodStreams:
    def __init__(self, registry: Registry, agents: Agents, authorize: Authorize) -> None:
        self._registry = registry
        self._agents = agents
        self._authorize = authorize

    async def log(self, request: Request) -> Response:
        """The text of a container's log, as it comes. An unscheduled pod has none yet (204)."""
        query = options.log_query(request.query, request.name)
        pod = self._pod(request)
        container = options.choose_container(pod, request.param("container"))
        if not pod["spec"].get("nodeName"):
            return Response(204, b"", "")
        path = options.agent_path("containerLogs", pod, container, query)
        answer = await self._agents.call(
            options.host_of(pod), "GET", path, [("Accept", "*/*"), ("Connection", "close")]
        )
        if answer.head.status >= 300:
            raise await _complaint(request, answer)
        media = answer.head.get("content-type") or "text/plain"
        return Response(answer.head.status, _quiet(answer.body()), media, socket=_LOG_SOCKET)

    async def exec(self, request: Request) -> Reply:
        return await self._stream(request, "exec")

    async def attach(self, request: Request) -> Reply:
        return await self._stream(request, "attach")

    async def portforward(self, request: Request) -> Reply:
        pod = self._pod(request)
        path = options.agent_path("portForward", pod, "", options.forward_query(request.query))
        return await self._tunnel(request, options.host_of(pod), path)

    async def _stream(self, request: Request, what: str) -> Reply:
        pod = self._pod(request)
        container = options.choose_container(pod, request.param("container"))
        path = options.agent_path(what, pod, container, options.stream_query(request.query))
        return await self._tunnel(request, options.host_of(pod), path)

    def _pod(self, request: Request) -> Obj:
        return self._registry.get(POD, request.namespace, request.name)

    async def _tunnel(self, request: Request, node: str, path: str) -> Reply:
        if request.verb == "get":
            # A WebSocket can only be opened with GET, yet what it does is a create.
            wanted = replace(attributes(request), verb="create")
            decision = await self._authorize(request.user, wanted)
            if not decision.allowed:
                raise refusal(request.user, wanted, decision.reason)
        if not request.headers.get("Upgrade"):
            raise errors.BadRequest("Upgrade request required")
        headers = [
            (k, without_token(v) if k.lower() == "sec-websocket-protocol" else v)
            for k, v in request.headers.items()
            if k.lower() in HANDSHAKE
        ]
        if request.method == "POST":
            headers.append(("Content-Length", "0"))
        answer = await self._agents.call(node, request.method, path, headers)
        if answer.head.status != 101:
            body = (await answer.text()).encode()
            return Response(answer.head.status, body, answer.head.get("content-type") or "text/plain")
        try:
            transport = tunnel.transport_of(request.transport)
        except ConnectionResetError:
            await answer.close()
            raise
        await tunnel.join(transport, answer)
        return HIJACKED


async def _complaint(request: Request, answer: Connection) -> errors.ApiError:
    """An agent's refusal as the error upstream makes of it."""
    text = await answer.text()
    if answer.head.status == 400:
        return errors.BadRequest(text)
    if answer.head.status == 404:
        return errors.NotFound(text, details={"name": request.name, "kind": "pods"})
    return errors.InternalError(f"Internal error occurred: {text}")


async def _quiet(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A log that breaks off just ends: the status line is long gone, and the client has what there was."""
    try:
        async for piece in pieces:
            yield piece
    except (OSError, wire.WireError):
        return
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()

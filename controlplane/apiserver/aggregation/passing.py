"""Requests for what other servers serve, passed on to them with the user's name, answers streamed back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

from controlplane.apiserver import deadlines
from controlplane.apiserver.aggregation.dialling import Dialler, Unreached, Untrusting
from controlplane.apiserver.aggregation.remotes import Remote, Remotes
from controlplane.apiserver.authn.front_proxy import headers_of
from controlplane.apiserver.request import HIJACKED, Handler, Reply, Request, Response
from controlplane.apiserver.streams import forwarding, proxy, tunnel
from controlplane.apiserver.streams.backend import Address
from controlplane.apiserver.streams.rewriting import Through
from controlplane.apiserver.streams.services import Unresolved

log = logging.getLogger(__name__)

# What /apis/GROUP/VERSION says is wanted by whoever asks for anything: one slow server holds up nobody for longer.
_DISCOVERY_SECONDS = 5.0
_UNAVAILABLE = "service unavailable"
# Said anew here.
_PRIVATE = frozenset({"audit-id", "x-forwarded-host", "x-forwarded-proto"})


class Passing:
    """The handlers of what other servers serve."""

    def __init__(self, known: Remotes, dialler: Dialler) -> None:
        self._known, self._dialler = known, dialler

    def handler(self, request: Request) -> Handler | None:
        """Who answers a request, if this server does not."""
        remote = self._known.at(request.path)
        return self.to(remote) if remote is not None else None

    def to(self, remote: Remote) -> Handler:
        """Passes any request on to a server."""
        return partial(self._pass_on, remote)

    async def _pass_on(self, remote: Remote, request: Request) -> Reply:
        if not remote.available:
            return _told(503, _UNAVAILABLE)
        try:
            address = self._dialler.address(remote)
        except Unresolved as error:
            log.warning("APIService %s: %s", remote.name, error)
            return _told(503, _UNAVAILABLE)
        except Untrusting as error:
            return _told(500, str(error))
        try:
            return await self._answered(address, request)
        except Unreached as error:
            return _told(503, f"error trying to reach service: {error}")

    async def _answered(self, address: Address, request: Request) -> Reply:
        upgrade = request.is_upgrade
        target = f"{request.path}?{request.raw_query}" if request.raw_query else request.path
        headers = list(_headers(request, address, upgrade))
        given = "Content-Length" in request.headers or "Transfer-Encoding" in request.headers
        body = request.stream() if given else None
        way = Through("", proxy.hosts(address), request.headers.get("Host", ""))
        if upgrade:
            connection = await self._dialler.upgrade(address, request.method, target, headers, body)
            if connection.head.status == 101:
                await tunnel.join(tunnel.transport_of(request.transport), connection)
                return HIJACKED
            return await proxy.answer_of(request, connection, way)
        is_discovery = len([part for part in request.path.split("/") if part]) == 3
        # The server's own deadline ends no write that is under way.
        seconds = _DISCOVERY_SECONDS if is_discovery else deadlines.limit(request)
        answer = await self._dialler.ask(address, request.method, target, headers, body, seconds)
        return await proxy.answer_of(request, answer, way)


def _headers(request: Request, address: Address, upgrade: bool) -> Iterator[tuple[str, str]]:
    """The client's, and who it is. As from upstream the host is the one that is asked, not this server."""
    yield from forwarding.passed_on(request, upgrade, _PRIVATE)
    yield from headers_of(request.user)
    yield "Audit-ID", request.audit_id
    yield "X-Forwarded-Proto", "https"
    yield "X-Forwarded-Host", address.authority


def _told(status: int, text: str) -> Response:
    """As upstream's proxy says that it cannot: a line of text, no Status."""
    return Response(status, f"{text}\n".encode(), "text/plain; charset=utf-8", {"X-Content-Type-Options": "nosniff"})

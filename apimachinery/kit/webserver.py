"""The HTTP server under every door of ours: the library's, but that it does not tell what it is made of, and does not
wait for ever for peers that say nothing.

A peer has a few seconds for its handshake and for the head of its first request, as Go's servers give it; later it may
rest between requests for ``keepalive_timeout``. Where too many are connected, those that rest longest make room.
"""

from __future__ import annotations

import asyncio
import resource
import ssl as ssl_module
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web, web_protocol, web_runner

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# Forward secrecy and authenticated encryption only; TLS 1.3 has no others.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True)
class Limits:
    """Seconds a peer may take, and how many may be connected to one port."""

    handshake: float = 10.0
    head: float = 10.0
    idle: float = 90.0
    connections: int = 4096


class _Request(web.BaseRequest):
    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """Runs when all headers are there; a server without an application has no signal for it."""
        response.headers.pop("Server", None)


class _Connection(web_protocol.RequestHandler):
    """One peer. A timer ends it that sends no whole head of a first request."""

    __slots__ = ("_head_seconds", "_head_timer")

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    @property
    def resting(self) -> bool:
        """Between two requests, or before the first."""
        return self._waiter is not None and not self._waiter.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = asyncio.get_running_loop().call_later(self._head_seconds, self.force_close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None and self._request_count:
            self._stop_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(web.Server):
    """``limits`` hold for every site the server is given."""

    def __init__(self, handle: Handle, limits: Limits, **options: Any) -> None:
        super().__init__(handle, **options)
        self.limits = limits

    def __call__(self) -> web_protocol.RequestHandler:
        return _Connection(self, loop=self._loop, head_seconds=self.limits.head, **self._kwargs)

    def connection_made(self, handler: web_protocol.RequestHandler, transport: asyncio.Transport) -> None:
        if len(self._connections) >= self.limits.connections:
            # In the order in which they came: the first at rest has made least use of its place.
            known = (c for c in self._connections if isinstance(c, _Connection))
            (next((c for c in known if c.resting), None) or handler).force_close()
        super().connection_made(handler, transport)


class Site(web.TCPSite):
    """Where a server listens. ``ssl_context`` None: plain."""

    async def start(self) -> None:
        """Raises OSError."""
        await web_runner.BaseSite.start(self)
        server = self._runner.server
        limits = server.limits if isinstance(server, _Server) else Limits()
        assert server is not None
        self._server = await asyncio.get_running_loop().create_server(
            server,
            self._host,
            self._port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=limits.handshake if self._ssl_context else None,
            backlog=self._backlog,
            reuse_address=self._reuse_address,
        )
        if self._server.sockets:
            self._bound_port = self._server.sockets[0].getsockname()[1]


def server(handle: Handle, *, limits: Limits | None = None, **options: Any) -> web.Server:
    """A server for a runner; ``options`` are those of aiohttp's. Call it with a loop running."""
    made, held = partial(_Request, loop=asyncio.get_running_loop()), fitting(limits or Limits())
    options = {"keepalive_timeout": held.idle, **options}
    return _Server(handle, held, request_factory=made, access_log=None, **options)


def fitting(limits: Limits) -> Limits:
    """No more connections than leave the process files to work with, however few it may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections=min(limits.connections, max(16, soft - max(64, soft // 4))))


def tls_context(cert: Path, key: Path, client_ca: Path | None = None) -> ssl_module.SSLContext:
    """TLS 1.2 or newer with strong ciphers; with ``client_ca``, clients may show a certificate it signed."""
    context = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl_module.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl_module.OP_NO_COMPRESSION | ssl_module.OP_NO_RENEGOTIATION
    context.load_cert_chain(cert, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        # Optional: a client without one gets an answer that says what is missing.
        context.verify_mode = ssl_module.CERT_OPTIONAL
    return context

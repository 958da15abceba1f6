"""The HTTP server under every door of ours: the library's, but that it does not tell what it is made of, and does not
wait for ever for peers that say nothing.

A peer has a few seconds for its handshake and for the head of its first request, as Go's servers give it; later it may
rest between requests for `keepalive_timeout`. Where too many are connected, those that rest longest make room.
Handshakes under way count, too, and take a quarter of the places at most: whoever has said nothing yet may not push out
whom the server knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from apimachinery.kit import httpmethods
from apimachinery.kit.http import web, web_protocol, web_runner

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

_ACCEPTED_AT_ONCE = 64
_NO_FILES_SECONDS = 0.5
# Seconds between looks at who is still connected.
_LOOK_FIRST, _LOOK_MAX = 0.001, 0.03
_UPGRADED = 101
# What the library's server tells its parsers.
_BOUNDS = ("max_line_size", "max_field_size", "max_headers", "auto_decompress")
# Of a request's first line and of each header: a command to run in a container stands in the first (bytes).
LONGEST_LINE = 64 * 1024
# Forward secrecy and authenticated encryption only; TLS 1.3 has no others.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True)
class Limits:
    """Seconds a peer may take, and how many may be connected to one port.

    rest: what a server that stops gives its peers to find out. Meanwhile every answer is the last on its connection and
    says so, and connections that rest for so long are closed. 0: those that rest are closed at once, and a request that
    is on its way there is lost.
    """

    handshake: float = 10.0
    head: float = 10.0
    idle: float = 90.0
    connections: int = 4096
    rest: float = 0.0

    @property
    def handshakes(self) -> int:
        """How many of the connections may be no further than that."""
        return max(1, self.connections // 4)


class _Request(web.BaseRequest):
    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """Runs when all headers are there; a server without an application has no signal for it."""
        response.headers.pop("Server", None)
        connection = self.protocol
        if isinstance(connection, _Connection) and connection.is_to_end and response.status != _UPGRADED:
            response.force_close()
            response.headers["Connection"] = "close"


class _Connection(web_protocol.RequestHandler):
    """One peer. A timer ends it that sends no whole head of a first request."""

    __slots__ = ("_bounds", "_head_seconds", "_head_timer")

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = {name: kwargs[name] for name in _BOUNDS if name in kwargs}
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    @property
    def resting(self) -> bool:
        """Between two requests, or before the first."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def is_to_end(self) -> bool:
        """The server stops: the next answer is the last."""
        return isinstance(self._manager, _Server) and self._manager.stopping

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = asyncio.get_running_loop().call_later(self._head_seconds, self.force_close)

    def data_received(self, data: bytes) -> None:
        begins = self.resting or not self._request_count
        super().data_received(data)
        if begins and len(self._messages) == 1:
            self._reread(data)
        if self._head_timer is not None and self._request_count:
            self._stop_timer()

    def _reread(self, data: bytes) -> None:
        """A request that the parser took for no HTTP because of its method; from it on another one reads."""
        error = getattr(self._messages[0][0], "exc", None)
        if error is None or not httpmethods.is_about_the_method(error) or not httpmethods.begins_with_another(data):
            return
        parser = httpmethods.Parser(self, self._loop, self._read_bufsize, **self._bounds)
        # Half a head, or no HTTP either: the answer is the first parser's.
        with contextlib.suppress(httpmethods.NotHTTP):
            messages, upgraded, tail = parser.feed_data(data)
            if messages:
                self._parser, self._upgraded, self._message_tail = parser, upgraded, tail
                self._messages.clear()
                self._messages.extend(messages)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(web.Server):
    """`limits` hold for every site the server is given."""

    def __init__(self, handle: Handle, limits: Limits, **options: Any) -> None:
        super().__init__(handle, **options)
        self.limits = limits
        self.stopping = False
        # Handshakes under way, in the order in which their peers came.
        self._greeted: dict[asyncio.Task[None], None] = {}

    def __call__(self) -> _Connection:
        return _Connection(self, loop=self._loop, head_seconds=self.limits.head, **self._kwargs)

    def connection_made(self, handler: web_protocol.RequestHandler, transport: asyncio.Transport) -> None:
        # Who has shaken hands was given a place for it, and keeps it.
        if transport.get_extra_info("sslcontext") is None and not self._has_room():
            handler.force_close()
        super().connection_made(handler, transport)

    def greet(self, peer: socket.socket, context: ssl_module.SSLContext) -> None:
        """Shake hands with a peer that has connected, or turn somebody away."""
        if len(self._greeted) >= self.limits.handshakes:
            self._turn_away()
        elif not self._has_room():
            peer.close()
            return
        task = self._loop.create_task(self._shake(peer, context))
        self._greeted[task] = None
        task.add_done_callback(partial(self._shaken, peer))

    async def _shake(self, peer: socket.socket, context: ssl_module.SSLContext) -> None:
        # It may speak something else, say nothing or hang up.
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(
                self, peer, ssl=context, ssl_handshake_timeout=self.limits.handshake
            )

    def _shaken(self, peer: socket.socket, task: asyncio.Task[None]) -> None:
        self._greeted.pop(task, None)
        if task.cancelled():
            peer.close()

    def pre_shutdown(self) -> None:
        # From here on nobody comes anew.
        self.stopping = True
        if not self.limits.rest:
            super().pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:
        if self.limits.rest:
            timeout = await self._drained(60.0 if timeout is None else timeout)
            # Whoever still rests has nothing to lose; who is being answered has what is left of the time.
            super().pre_shutdown()
        while self._greeted:
            self._turn_away()
        await super().shutdown(timeout)

    async def _drained(self, seconds: float) -> float:
        """Until nobody is connected any more, for so many seconds at most; what is left of them.

        Never nothing, which the HTTP library takes for as long as it lasts.
        """
        end, pause = self._loop.time() + seconds, _LOOK_FIRST
        resting: dict[_Connection, float] = {}
        while (self._connections or self._greeted) and (now := self._loop.time()) < end:
            there = [each for each in self._connections if isinstance(each, _Connection) and each.resting]
            resting = {each: resting.get(each, now) for each in there}
            for each, since in resting.items():
                if now - since >= self.limits.rest:
                    each.force_close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LOOK_MAX)
        return max(_LOOK_FIRST, end - self._loop.time())

    def _has_room(self) -> bool:
        """Whether there is a place for one more, made where it has to be."""
        if len(self._connections) + len(self._greeted) < self.limits.connections:
            return True
        # In the order in which they came: the first at rest has made least use of its place.
        resting = next((c for c in self._connections if isinstance(c, _Connection) and c.resting), None)
        if resting is not None:
            resting.force_close()
        elif self._greeted:
            self._turn_away()
        else:
            return False
        return True

    def _turn_away(self) -> None:
        """The one whose handshake takes longest."""
        oldest = next(iter(self._greeted))
        del self._greeted[oldest]
        oldest.cancel()


class _Doorstep:
    """Where peers of a TLS port come in. The loop's own server would keep from us how many are shaking hands."""

    def __init__(
        self, sockets: Sequence[socket.socket], context: ssl_module.SSLContext, server: _Server, backlog: int
    ) -> None:
        self.sockets = tuple(sockets)
        self._context, self._server, self._backlog = context, server, backlog
        self._loop = asyncio.get_running_loop()
        for listening in self.sockets:
            self._open(listening)

    def close(self) -> None:
        sockets, self.sockets = self.sockets, ()
        for listening in sockets:
            self._loop.remove_reader(listening)
            # The kernel hangs up on whoever has connected and was not taken on. More than these were not waiting when
            # it was told to close; who comes on and on cannot keep it from that.
            for _ in range(0, self._backlog + 1, _ACCEPTED_AT_ONCE):
                if not self._accept(listening):
                    break
            listening.close()

    def _open(self, listening: socket.socket) -> None:
        if listening in self.sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> bool:
        """Take on some of those who wait; whether there may be more."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                peer, _address = listening.accept()
            except BlockingIOError:
                return False
            except ConnectionAbortedError:
                # It hung up; others may wait behind it.
                continue
            except OSError as error:
                log.warning("no connection is taken on for %g s: %s", _NO_FILES_SECONDS, error)
                self._loop.remove_reader(listening)
                self._loop.call_later(_NO_FILES_SECONDS, self._open, listening)
                return False
            peer.setblocking(False)
            self._server.greet(peer, self._context)
        return True


async def _listening(host: str | None, port: int, backlog: int, shared: bool) -> list[socket.socket]:
    """A socket for each address of a host; shared: other processes may listen there, too. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, *_, address in dict.fromkeys(found):
            made.append(socket.create_server(address, family=family, backlog=backlog, reuse_port=shared))
            made[-1].setblocking(False)
    except OSError:
        for listening in made:
            listening.close()
        raise
    return made


class Site(web.TCPSite):
    """Where a server listens. `ssl_context` None: plain."""

    async def start(self) -> None:
        """Raises OSError."""
        await web_runner.BaseSite.start(self)
        server = self._runner.server
        assert isinstance(server, _Server)
        if self._ssl_context is not None:
            sockets = await _listening(self._host, self._port, self._backlog, bool(self._reuse_port))
            # The library only closes it and looks at its sockets.
            self._server = cast(asyncio.Server, _Doorstep(sockets, self._ssl_context, server, self._backlog))
        else:
            self._server = await asyncio.get_running_loop().create_server(
                server,
                self._host,
                self._port,
                backlog=self._backlog,
                reuse_address=self._reuse_address,
                reuse_port=self._reuse_port,
            )
        if self._server.sockets:
            self._bound_port = self._server.sockets[0].getsockname()[1]


def server(handle: Handle, *, limits: Limits | None = None, **options: Any) -> web.Server:
    """A server for a runner; `options` are those of aiohttp's. Call it with a loop running."""
    made, held = partial(_Request, loop=asyncio.get_running_loop()), fitting(limits or Limits())
    lines = {"max_line_size": LONGEST_LINE, "max_field_size": LONGEST_LINE}
    options = {"keepalive_timeout": held.idle, **lines, **options}
    return _Server(handle, held, request_factory=made, access_log=None, **options)


def fitting(limits: Limits) -> Limits:
    """No more connections than leave the process files to work with, however few it may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections=min(limits.connections, max(16, soft - max(64, soft // 4))))


def tls_context(cert: Path, key: Path, *authorities: Path | None) -> ssl_module.SSLContext:
    """TLS 1.2 or newer with strong ciphers; with authorities, clients may show a certificate of one of them."""
    context = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl_module.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl_module.OP_NO_COMPRESSION | ssl_module.OP_NO_RENEGOTIATION
    context.load_cert_chain(cert, key)
    for authority in filter(None, authorities):
        context.load_verify_locations(authority)
        # Optional: a client without one gets an answer that says what is missing.
        context.verify_mode = ssl_module.CERT_OPTIONAL
    return context

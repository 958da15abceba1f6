"""One TCP connection to two: bytes both ways, each end of a direction passed on, nobody faster than the other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from apimachinery.kit import tasks
from netproxy.userspace.plan import Listener, Target

_CONNECT_SECONDS = (0.25, 0.5, 1.0, 2.0)
"""for the first endpoint, the second, … as kube-proxy once had it"""
_RESET = struct.pack("ii", 1, 0)
_IP_OPTIONS, _IPV6_OPTIONS = (socket.IPPROTO_IP, 15, 19), (socket.IPPROTO_IPV6, 78, 75)
"""level, FREEBIND and TRANSPARENT of each (ip(7), linux/in6.h)"""
_BACKLOG = 1024

Choose = Callable[[str], Sequence[Target]]
"""client's address → endpoints to try in this order; none: it is turned away"""


def bound_socket(listener: Listener) -> socket.socket:
    """A socket at the listener's address, which a local route makes ours. Raises OSError."""
    six = ":" in listener.address
    kind = socket.SOCK_STREAM if listener.protocol == "TCP" else socket.SOCK_DGRAM
    handle = socket.socket(
        socket.AF_INET6 if six else socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    )
    try:
        level, freebind, transparent = _IPV6_OPTIONS if six else _IP_OPTIONS
        if six:
            handle.setsockopt(level, socket.IPV6_V6ONLY, 1)
        handle.setsockopt(level, freebind, 1)
        # Who is on a connection as its address is given up is told of its end all the same.
        with contextlib.suppress(PermissionError):
            handle.setsockopt(level, transparent, 1)
        if kind == socket.SOCK_STREAM:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        handle.bind((listener.address, listener.port))
    except OSError:
        handle.close()
        raise
    return handle


async def serve(listener: Listener, choose: Choose) -> asyncio.Server:
    """Accept and relay until the server is closed; what is under way goes on then. Raises OSError."""
    handle = bound_socket(listener)
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Side(choose), sock=handle, backlog=_BACKLOG)


class _Side(asyncio.Protocol):
    """One of the two connections; the other is its peer. `choose`: given to the side that a client opened.

    What one says before both have found each other is kept for then: what becomes of an endpoint that is given up is
    nothing to the client. (uvloop reads once more after a pause in `connection_made`.)
    """

    def __init__(self, choose: Choose | None = None) -> None:
        self._choose = choose
        self._peer: _Side | None = None
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._ended = False
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        handle = transport.get_extra_info("socket")
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._transport.pause_reading()
        if self._choose:
            client = transport.get_extra_info("peername")[0]
            self._connecting = asyncio.ensure_future(self._connect(self._choose(client)))

    async def _connect(self, targets: Sequence[Target]) -> None:
        loop = asyncio.get_running_loop()
        assert self._transport
        for target, seconds in zip(_repeated(targets), _CONNECT_SECONDS, strict=False):
            side = _Side()
            try:
                await tasks.within(loop.create_connection(partial(_itself, side), *target), seconds)
            except (OSError, asyncio.TimeoutError):
                side.reset()
                continue
            except asyncio.CancelledError:
                # The client went away, and the endpoint may have answered in the same moment.
                side.reset()
                raise
            self._peer, side._peer = side, self
            if self._transport.is_closing():
                side.reset()
            else:
                self._begin()
                side._begin()
                if self._ended and side._ended:
                    # Nothing will tell of it any more; what was handed on goes out first.
                    self._transport.close()
            return
        self.reset()

    def _begin(self) -> None:
        """Hand on what came early, and read what comes."""
        assert self._transport and self._peer and self._peer._transport
        if self._early:
            self._peer._transport.write(self._early)
            self._early = b""
        if self._transport.is_closing():
            self._peer._transport.close()
        elif self._ended:
            self._peer._transport.write_eof()
        else:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._peer is None and self._transport:
            self._early += data
            self._transport.pause_reading()
        elif self._peer and self._peer._transport:
            self._peer._transport.write(data)

    def eof_received(self) -> bool:
        """One direction has ended; the other goes on until it ends, too."""
        self._ended = True
        if self._peer and self._peer._transport:
            self._peer._transport.write_eof()
            if self._peer._ended:
                return False
        return True

    def pause_writing(self) -> None:
        if self._peer and self._peer._transport:
            self._peer._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer and self._peer._transport:
            self._peer._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self._connecting:
            self._connecting.cancel()
        if self._peer and self._peer._transport:
            # What was received still goes out, but for a connection that broke.
            if error:
                self._peer.reset()
            else:
                self._peer._transport.close()

    def reset(self) -> None:
        """End it as a kernel does that has no endpoint."""
        if self._transport:
            handle = self._transport.get_extra_info("socket")
            # It may have come to its end by itself, which uvloop tells by a ValueError.
            with contextlib.suppress(OSError, ValueError):
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()


def _itself(side: _Side) -> _Side:
    return side


def _repeated(targets: Sequence[Target]) -> Sequence[Target]:
    return list(targets) * (len(_CONNECT_SECONDS) // len(targets) + 1) if targets else ()

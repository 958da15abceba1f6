"""The event loop of every daemon: uvloop, with each descriptor that it is given closed once.

uvloop closes the number of a connected socket that it took over, and then tells the socket object to forget it. Where
the other side reset the connection before the first byte was written, it closes it before it knows the object, which
closes the number once more when it is collected: by then it is mostly somebody else's. Another connection falls silent,
a file is closed under its reader, or libuv aborts the process at a number that it polls. aiohttp hands over each of its
connections so, and a server that is killed resets all that waited for it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


class Loop(uvloop.Loop):
    """uvloop's own, but for sockets that are connected already."""

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: Any = None,
        port: Any = None,
        *,
        sock: socket.socket | None = None,
        **options: Any,
    ) -> tuple[Any, Any]:
        """As asyncio has it; `sock` has no descriptor any more once its connection is begun, whatever comes of it."""
        given: Any = None if sock is None else _Given(sock)
        return await super().create_connection(protocol_factory, host, port, sock=given, **options)


class _Given:
    """What uvloop needs to know of a socket; whoever asks for its number owns it from then on."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.family, self.type = sock.family, sock.type

    def setblocking(self, flag: bool) -> None:
        self._sock.setblocking(flag)

    def fileno(self) -> int:
        return self._sock.detach()

    def detach(self) -> None:
        """Nothing is held."""

    close = detach


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on such a loop to its end, as asyncio.run does."""
    return uvloop.run(main, loop_factory=Loop)

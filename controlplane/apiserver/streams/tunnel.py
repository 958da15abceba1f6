"""Joining a client's connection to an agent's: bytes pass both ways, untouched, until either side ends.

The client's connection is taken from the HTTP server for good (`hijack`). Reading from one side waits until the other
has taken what was written, so a slow reader slows the writer and nothing piles up here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import cast

from controlplane.apiserver.streams import backend, wire

VIGIL_SECONDS = 10.0
_ESTABLISHED = 1


class _Taken(asyncio.StreamReaderProtocol):
    """Reads a hijacked connection; the protocol it was taken from still learns that the connection has ended."""

    def __init__(self, reader: asyncio.StreamReader, former: asyncio.BaseProtocol) -> None:
        super().__init__(reader)
        self._former: asyncio.BaseProtocol | None = former

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        former, self._former = self._former, None
        if former is not None:
            former.connection_lost(exc)


def hijack(transport: asyncio.Transport) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Take a connection over from the HTTP server, between two messages."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=wire.PIECE, loop=loop)
    protocol = _Taken(reader, transport.get_protocol())
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    # The HTTP server may have paused the transport while its handler ran.
    with contextlib.suppress(RuntimeError, AttributeError):
        transport.resume_reading()
    backend.keep_alive(transport.get_extra_info("socket"))
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def join(transport: asyncio.Transport, behind: backend.Connection) -> None:
    """Give the client the agent's 101 and carry bytes until one of the two ends; both are closed afterwards."""
    reader, writer = hijack(transport)
    writer.write(behind.head.raw)
    ways = [
        asyncio.ensure_future(_carry(reader, behind.writer)),
        asyncio.ensure_future(_carry(behind.reader, writer)),
        asyncio.ensure_future(_vigil(writer, behind.writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        closing = [*ways, backend.close(writer), behind.close()]
        await asyncio.shield(asyncio.gather(*closing, return_exceptions=True))


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(wire.PIECE):
            target.write(piece)
            await target.drain()


async def _vigil(*sides: asyncio.StreamWriter) -> None:
    """Return when either side has hung up though nobody reads from it.

    While one side does not take what it is sent, reading from the other stands still, and its end would be seen by
    nobody: the kernel is asked instead. Two looks in a row, so that an end which is being carried over is not cut.
    """
    suspects: set[int] = set()
    while True:
        await asyncio.sleep(VIGIL_SECONDS)
        gone = {index for index, side in enumerate(sides) if _has_hung_up(side)}
        if gone & suspects:
            return
        suspects = gone


def _has_hung_up(side: asyncio.StreamWriter) -> bool:
    sock = side.get_extra_info("socket")
    if sock is None or side.transport.is_closing():
        return True
    try:
        # The first byte of struct tcp_info is the connection's state.
        state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return True
    return bool(state != _ESTABLISHED)


def transport_of(transport: asyncio.BaseTransport | None) -> asyncio.Transport:
    """The client's transport. Raises ConnectionResetError when the client has gone already."""
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client has gone")
    return cast(asyncio.Transport, transport)

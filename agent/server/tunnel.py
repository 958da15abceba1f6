"""Bytes passed on as they are: an upgraded client joined to the runtime's streaming server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from multidict import CIMultiDictProxy

from agent.server.dial import connect, request_head
from apimachinery.kit.http import web

_READ = 64 * 1024
# What an upgrade is made of; everything else in the request was for us.
_FORWARDED = (
    "upgrade",
    "connection",
    "x-stream-protocol-version",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "origin",
)


def is_upgrade(headers: Mapping[str, str], protocol: str) -> bool:
    """Whether the request asks to speak `protocol` from here on."""
    return headers.get("Upgrade", "").lower() == protocol.lower()


def forwarded(headers: CIMultiDictProxy[str]) -> Sequence[tuple[str, str]]:
    """The upgrade's own headers, repeated ones repeated."""
    return [(name, value) for name, value in headers.items() if name.lower() in _FORWARDED]


class _Hijack(asyncio.Protocol):
    """Takes a client's connection from the HTTP server for good."""

    def __init__(self, previous: asyncio.BaseProtocol, writer: asyncio.StreamWriter) -> None:
        self._previous = previous
        self._writer = writer
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def take(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self._writer.write(data)
        transport = self._writer.transport
        if transport.get_write_buffer_size() > _READ and self.transport is not None:
            self.transport.pause_reading()
            asyncio.ensure_future(self._resume()).add_done_callback(_forget)

    async def _resume(self) -> None:
        await self._writer.drain()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        self.closed.set()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set()
        self._writable.set()
        # The HTTP server counts its connections and must hear of the end.
        self._previous.connection_lost(error)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def write(self, data: bytes) -> None:
        await self._writable.wait()
        if self.transport is not None:
            self.transport.write(data)


def _forget(task: asyncio.Future[None]) -> None:
    # A broken pipe shows as the end of the other direction.
    if not task.cancelled():
        task.exception()


async def join(request: web.BaseRequest, url: str, host: str) -> None:
    """Join the client to `url` until either side closes. The runtime's own answer is the client's."""
    reader, writer = await connect(url, host)
    # uvloop's transports are no subclasses of asyncio's, only alike.
    transport = request.transport
    if transport is None or transport.is_closing():
        writer.close()
        raise ConnectionResetError("the client is gone")
    hijack = _Hijack(transport.get_protocol(), writer)
    hijack.take(transport)
    down = asyncio.ensure_future(_pump(reader, hijack))
    gone = asyncio.ensure_future(hijack.closed.wait())
    try:
        writer.write(request_head(request.method, url, forwarded(request.headers)))
        await asyncio.wait((down, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (down, gone):
            task.cancel()
        await asyncio.gather(down, gone, return_exceptions=True)
        writer.close()
        transport.close()


async def _pump(reader: asyncio.StreamReader, hijack: _Hijack) -> None:
    while data := await reader.read(_READ):
        await hijack.write(data)

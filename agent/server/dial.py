"""Connections to the runtime's streaming server: the HTTP upgrade, then SPDY streams or plain bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import urlsplit

from agent.server import spdy

CONNECT_SECONDS = 10.0
_READ = 64 * 1024
_MAX_HEAD = 64 * 1024


class DialError(Exception):
    """The runtime's streaming server refused or cannot be reached."""


def request_head(method: str, url: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """An upgrade request without a body."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if method == "POST":
        lines.append("Content-Length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def connect(url: str, allowed_host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection to the server of `url`, which must be on `allowed_host`."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname != allowed_host or parts.port is None:
        raise DialError(f"the runtime's streaming address {url.split('?')[0]!r} is not on {allowed_host}")
    try:
        opening = asyncio.open_connection(parts.hostname, parts.port, limit=_MAX_HEAD)
        return await asyncio.wait_for(opening, CONNECT_SECONDS)
    except (OSError, asyncio.TimeoutError) as error:
        raise DialError(f"cannot reach the runtime's streaming server: {error}") from error


async def upgrade(url: str, allowed_host: str, protocol: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that speaks SPDY/3.1 with `protocol` on top; raises DialError."""
    reader, writer = await connect(url, allowed_host)
    try:
        headers = (
            ("Connection", "Upgrade"),
            ("Upgrade", "SPDY/3.1"),
            ("X-Stream-Protocol-Version", protocol),
        )
        writer.write(request_head("POST", url, headers))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CONNECT_SECONDS)
        status = head.split(b"\r\n", 1)[0].decode("latin-1")
        if status.split(" ", 2)[1:2] != ["101"]:
            body = await asyncio.wait_for(reader.read(_READ), CONNECT_SECONDS)
            raise DialError(f"the runtime refused the stream: {status}: {body.decode('utf-8', 'replace')}")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError) as error:
        writer.close()
        raise DialError(f"the runtime broke off the upgrade: {error}") from error
    except DialError:
        writer.close()
        raise
    return reader, writer


class Streams:
    """The client's end of a SPDY connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._codec = spdy.Codec()
        self._next = 1

    async def open(self, headers: Mapping[str, str]) -> int:
        """A new stream's number."""
        stream, self._next = self._next, self._next + 2
        await self._send(spdy.SynStream(stream, headers))
        return stream

    async def send(self, stream: int, data: bytes, fin: bool = False) -> None:
        """Data, waiting while the other side does not read."""
        await self._send(spdy.Data(stream, data, fin))

    async def frames(self) -> AsyncIterator[spdy.Frame]:
        """What the other side sends, until it closes. Raises SpdyError."""
        while data := await self._reader.read(_READ):
            for frame in self._codec.feed(data):
                if isinstance(frame, spdy.Ping):
                    await self._send(frame)
                elif isinstance(frame, spdy.GoAway):
                    return
                else:
                    yield frame

    def close(self) -> None:
        """Drop the connection."""
        self._writer.close()

    async def _send(self, frame: spdy.Frame) -> None:
        self._writer.write(self._codec.encode(frame))
        await self._writer.drain()

"""exec and attach for WebSocket clients: channels on one side, SPDY streams of the runtime on the other.

SPDY towards the runtime, and not its WebSocket endpoint, because only SPDY can end the input while output
still comes: containerd 1.6 stops at WebSocket v4, which cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from agent.server import channels, spdy
from agent.server.dial import Streams, upgrade
from apimachinery.kit.http import WSMsgType, web
from apimachinery.objects import loads

log = logging.getLogger(__name__)

# The newest the runtimes' SPDY side speaks; status arrives as JSON on the error stream.
RUNTIME_PROTOCOL = "v4.channel.k8s.io"
_OUTPUTS = (channels.STDOUT, channels.STDERR, channels.ERROR)
_STATUS_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Wanted:
    """Which streams the client asked for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels to open, in the order upstream's clients open their streams."""
        asked = (
            (channels.ERROR, True),
            (channels.STDIN, self.stdin),
            (channels.STDOUT, self.stdout),
            (channels.STDERR, self.stderr and not self.tty),
            (channels.RESIZE, self.tty),
        )
        return tuple(channel for channel, wanted in asked if wanted)


def wanted(query: Mapping[str, str]) -> Wanted:
    """The kubelet's query names (input, output, error) or the API server's (stdin, stdout, stderr)."""

    def flag(*names: str) -> bool:
        return any(query.get(name) in ("1", "true", "True") for name in names)

    return Wanted(flag("input", "stdin"), flag("output", "stdout"), flag("error", "stderr"), flag("tty"))


async def serve(request: web.BaseRequest, url: str, host: str, streams_wanted: Wanted) -> web.WebSocketResponse:
    """Run one session to its end.

    The runtime is reached first, so that its refusal can still be an HTTP answer.
    """
    reader, writer = await upgrade(url, host, RUNTIME_PROTOCOL)
    runtime = Streams(reader, writer)
    try:
        socket = web.WebSocketResponse(protocols=channels.PROTOCOLS, compress=False, max_msg_size=0)
        await socket.prepare(request)
        session = _Session(socket, runtime)
        await session.open(streams_wanted)
        await session.run()
    finally:
        runtime.close()
    await socket.close()
    return socket


class _Session:
    def __init__(self, socket: web.WebSocketResponse, runtime: Streams) -> None:
        self._socket = socket
        self._runtime = runtime
        self._protocol = socket.ws_protocol or channels.V1
        self._status = b""
        self._stream_of: dict[int, int] = {}
        self._channel_of: dict[int, int] = {}

    async def open(self, streams_wanted: Wanted) -> None:
        for channel in streams_wanted.channels:
            stream = await self._runtime.open({"streamtype": channels.STREAM_TYPES[channel]})
            self._stream_of[channel] = stream
            self._channel_of[stream] = channel
        # An empty message tells the client that the session stands, on the first channel that it can read.
        await self._send(next(channel for channel in _OUTPUTS if channel in self._stream_of), b"")

    async def run(self) -> None:
        """Both directions until the runtime is done or the client is gone."""
        down = asyncio.ensure_future(self._to_client())
        up = asyncio.ensure_future(self._to_runtime())
        try:
            await asyncio.wait((down, up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (down, up):
                task.cancel()
            results = await asyncio.gather(down, up, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                log.info("stream ended: %s", result)

    async def _to_client(self) -> None:
        left = {self._stream_of[channel] for channel in _OUTPUTS if channel in self._stream_of}
        async for frame in self._runtime.frames():
            if isinstance(frame, spdy.Data):
                await self._forward(frame)
                if frame.fin:
                    left.discard(frame.stream)
                    await self._tell(frame.stream)
            elif isinstance(frame, spdy.RstStream) or (isinstance(frame, spdy.SynReply) and frame.fin):
                left.discard(frame.stream)
            if not left:
                return

    async def _forward(self, frame: spdy.Data) -> None:
        channel = self._channel_of.get(frame.stream)
        if channel is None or not frame.data:
            return
        if channel == channels.ERROR and self._protocol in channels.STATUS_AS_TEXT:
            self._status = (self._status + frame.data)[:_STATUS_LIMIT]
            return
        await self._send(channel, frame.data)

    async def _tell(self, stream: int) -> None:
        """The runtime's Status, in words: what a client of before v4 is told, and only of a failure."""
        if not self._status or self._channel_of.get(stream) != channels.ERROR:
            return
        try:
            status = loads(self._status)
            text = "" if status.get("status") == "Success" else str(status.get("message", ""))
        except (ValueError, AttributeError):
            text = self._status.decode(errors="replace")
        if text:
            await self._send(channels.ERROR, text.encode())

    async def _send(self, channel: int, data: bytes) -> None:
        message = channels.encode(self._protocol, channel, data)
        if isinstance(message, str):
            await self._socket.send_str(message)
        else:
            await self._socket.send_bytes(message)

    async def _to_runtime(self) -> None:
        async for message in self._socket:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            decoded = channels.decode(self._protocol, message.data)
            if decoded is None:
                continue
            stream = self._stream_of.get(decoded.channel)
            if stream is None or decoded.channel not in (channels.STDIN, channels.RESIZE):
                continue
            # A command that has ended takes no more input; what it said and how it ended may still be on its way.
            with contextlib.suppress(ConnectionError):
                if decoded.closed:
                    await self._runtime.send(stream, b"", fin=True)
                elif decoded.data:
                    await self._runtime.send(stream, decoded.data)

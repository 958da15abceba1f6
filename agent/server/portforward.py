"""Port-forward for WebSocket clients:

Their messages carry a SPDY connection, which the runtime gets as it is.
"""

from __future__ import annotations

import asyncio
import logging

from agent.server.dial import upgrade
from apimachinery.kit.http import WSMsgType, web

log = logging.getLogger(__name__)

TUNNEL = "SPDY/3.1+portforward.k8s.io"
RUNTIME_PROTOCOL = "portforward.k8s.io"
_READ = 32 * 1024


async def serve(request: web.BaseRequest, url: str, host: str) -> web.WebSocketResponse:
    """Run one session to its end."""
    reader, writer = await upgrade(url, host, RUNTIME_PROTOCOL)
    try:
        socket = web.WebSocketResponse(protocols=(TUNNEL,), compress=False, max_msg_size=0)
        await socket.prepare(request)
        up = asyncio.ensure_future(_to_runtime(socket, writer))
        down = asyncio.ensure_future(_to_client(socket, reader))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            results = await asyncio.gather(up, down, return_exceptions=True)
    finally:
        writer.close()
    for result in results:
        if isinstance(result, Exception):
            log.info("port-forward ended: %s", result)
    await socket.close()
    return socket


async def _to_runtime(socket: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    async for message in socket:
        if message.type != WSMsgType.BINARY:
            return
        writer.write(message.data)
        await writer.drain()


async def _to_client(socket: web.WebSocketResponse, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(_READ):
        await socket.send_bytes(data)

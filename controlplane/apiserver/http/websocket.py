"""An answer that comes bit by bit as the messages of a WebSocket (RFC 6455): browsers have no other stream."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator

from apimachinery.kit.http import web
from controlplane.apiserver.request import Socket


async def serve(raw: web.BaseRequest, form: Socket, pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send the pieces until they end or the client goes; what it says is not listened to."""
    offered = [word.strip() for word in raw.headers.get("Sec-WebSocket-Protocol", "").split(",") if word.strip()]
    if form.protocols and offered and not set(offered) & set(form.protocols):
        text = f"requested protocol(s) are not supported: {offered}; supports {list(form.protocols)}"
        return web.Response(status=403, text=text)
    socket = web.WebSocketResponse(protocols=form.protocols, compress=False)
    await socket.prepare(raw)
    as_base64 = (socket.ws_protocol or "").startswith("base64.")
    sending = asyncio.ensure_future(_send(socket, form, pieces, as_base64))
    listening = asyncio.ensure_future(_until_gone(socket))
    try:
        await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, listening):
            task.cancel()
        await asyncio.gather(sending, listening, return_exceptions=True)
    await socket.close()
    return socket


async def _send(socket: web.WebSocketResponse, form: Socket, pieces: AsyncIterator[bytes], as_base64: bool) -> None:
    async def send(message: bytes) -> None:
        if as_base64:
            await socket.send_str(base64.b64encode(message).decode())
        elif form.text:
            await socket.send_str(message.decode(errors="replace"))
        else:
            await socket.send_bytes(message)

    if form.greets:
        await send(b"")
    with contextlib.suppress(ConnectionError):
        async for piece in pieces:
            for message in form.messages(piece):
                await send(message)


async def _until_gone(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        continue

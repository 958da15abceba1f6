"""The HTTP server under every door of ours: the library's, but that it does not tell what it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Request(web.BaseRequest):
    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """Runs when all headers are there; a server without an application has no signal for it."""
        response.headers.pop("Server", None)


def server(handle: Handle, **options: Any) -> web.Server:
    """A server for a runner; ``options`` are those of aiohttp's. Call it with a loop running."""
    made = partial(_Request, loop=asyncio.get_running_loop())
    return web.Server(handle, request_factory=made, access_log=None, **options)

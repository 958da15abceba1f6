"""A small HTTP(S) server for health and metrics: exact paths, GET only."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from apimachinery.kit import webserver
from apimachinery.kit.http import web
from apimachinery.kit.lifecycle import Lifecycle

# (query) -> (status, body, content type)
Route = Callable[[Mapping[str, str]], Awaitable[tuple[int, bytes, str]]]

# (Accept header) -> (status, body, content type, headers)
Page = Callable[[str], tuple[int, bytes, str, Mapping[str, str]]]

# (subject of the client's certificate, Authorization header, method, path) -> (status, text) of a refusal, or None
Gate = Callable[[Any, str, str, str], Awaitable[tuple[int, str] | None]]

TEXT = "text/plain; charset=utf-8"


def shown(page: Page, request: web.BaseRequest) -> web.Response:
    """A page as the client takes it."""
    status, body, content_type, headers = page(request.headers.get("Accept", ""))
    return web.Response(status=status, body=body, headers={**headers, "Content-Type": content_type})


async def serve_http(
    lifecycle: Lifecycle,
    host: str,
    port: int,
    routes: Mapping[str, Route],
    ssl: ssl_module.SSLContext | None = None,
    gate: Gate | None = None,
    pages: Mapping[str, Page] = MappingProxyType({}),
) -> None:
    """Serve `routes` (path → answer) and `pages` (path → answer in the form that the client takes) on `host:port` until
    the lifecycle stops, to whom `gate` lets in.

    Raises OSError with the address in its text when the port is taken.
    """

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="405 method not allowed\n")
        if gate is not None and (refused := await gate(*_asks(request))) is not None:
            return web.Response(status=refused[0], text=refused[1])
        if (page := pages.get(request.path)) is not None:
            return shown(page, request)
        route = routes.get(request.path)
        if route is None:
            return web.Response(status=404, text="404 page not found\n")
        status, body, content_type = await route(request.query)
        return web.Response(status=status, body=body, headers={"Content-Type": content_type})

    runner = web.ServerRunner(webserver.server(handle))
    await runner.setup()
    site = webserver.Site(runner, host, port, ssl_context=ssl)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    lifecycle.push(f"http {host}:{port}", runner.cleanup)


def _asks(request: web.BaseRequest) -> tuple[Any, str, str, str]:
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    shown = request.headers.get("Authorization", "")
    # What is asked about a HEAD is what is asked about a GET.
    return (certificate or {}).get("subject"), shown, "GET", request.path


async def ok(_query: Mapping[str, str]) -> tuple[int, bytes, str]:
    """The answer of a healthy `/healthz`."""
    return 200, b"ok", TEXT

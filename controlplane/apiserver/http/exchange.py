"""One HTTP exchange: the library's request in, a Request to the pipeline, its Reply out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from multidict import CIMultiDict

from apimachinery import errors, urls
from apimachinery.kit.http import web
from controlplane.apiserver import ids, router
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.formats import compression
from controlplane.apiserver.http import websocket
from controlplane.apiserver.request import (
    ANONYMOUS,
    CutShort,
    Hijacked,
    Request,
    Response,
    Shared,
    asks_for_websocket,
)

log = logging.getLogger(__name__)

# Upstream's limit for the body of a resource request.
BODY_LIMIT = 3 * 1024 * 1024
# Seconds that a client may leave an answer lying, and bytes that wait for it meanwhile.
_PATIENCE = 30.0
_UNSENT_BYTES = 64 << 10
_WARNINGS_TOTAL, _WARNING_EACH = 4096, 256

Pipeline = Callable[[Request], Awaitable[Response | Hijacked]]


def parse(raw: web.BaseRequest, catalog: Catalog) -> Request:
    """The pipeline's view of a request; nobody is authenticated yet."""
    path, query_text = raw.rel_url.raw_path, raw.rel_url.raw_query_string
    query = urls.parameters(query_text)
    target = router.locate(catalog, raw.method, path, query)
    return Request(
        method=raw.method,
        path=path,
        verb=target.verb,
        group=target.group,
        version=target.version,
        resource=target.resource,
        subresource=target.subresource,
        namespace=target.namespace,
        name=target.name,
        tail=target.tail,
        kind=target.kind,
        query=query,
        raw_query=query_text,
        headers=raw.headers,
        user=ANONYMOUS,
        body=lambda: _body(raw),
        stream=lambda: _pieces(raw),
        transport=raw.transport,
        catalog=catalog,
        raw=raw,
        audit_id=raw.headers.get("Audit-ID") or ids.new(),
    )


async def _body(raw: web.BaseRequest) -> bytes:
    if not raw.body_exists:
        return b""
    if (raw.content_length or 0) > BODY_LIMIT:
        raise _too_large()
    body = bytearray()
    while piece := await raw.content.readany():
        body += piece
        if len(body) > BODY_LIMIT:
            raise _too_large()
    return bytes(body)


async def _pieces(raw: web.BaseRequest) -> AsyncIterator[bytes]:
    while piece := await raw.content.readany():
        yield piece


def _too_large() -> errors.ApiError:
    return errors.RequestTooLarge(f"Request entity too large: limit is {BODY_LIMIT}", details={})


async def serve(raw: web.BaseRequest, pipeline: Pipeline, catalog: Catalog) -> web.StreamResponse:
    """Answer one request. A client that hangs up cancels reading, never a write under way."""
    request = parse(raw, catalog)
    reply = await pipeline(request)
    if isinstance(reply, Hijacked):
        return _Nothing()
    if reply.socket is not None and isinstance(reply.body, AsyncIterator) and asks_for_websocket(raw.headers):
        try:
            return await websocket.serve(raw, reply.socket, reply.body)
        finally:
            await _closed(reply.body)
    headers = CIMultiDict(
        {
            "Audit-Id": request.audit_id,
            "Cache-Control": "no-cache, private",
            "Content-Type": reply.content_type,
        }
    )
    # Those of another server's answer may be spelt otherwise, and be said several times.
    headers.update(reply.headers)
    if reply.status == 204 or not reply.content_type:
        headers.pop("Content-Type", None)  # nothing follows that could have a type
    sendable: web.StreamResponse
    body = reply.body
    if isinstance(body, Shared) and compression.accepts_gzip(raw.headers):
        body = b"".join(body.pieces())
    if isinstance(body, bytes):
        body = await _compressed(raw, body, headers)
        sendable = web.Response(body=body, status=reply.status, headers=headers)
    else:
        sendable = web.StreamResponse(status=reply.status, headers=headers)
    for text in told_warnings(reply.warnings):
        sendable.headers.add("Warning", f'299 - "{_quoted(text)}"')
    if isinstance(body, Shared):
        sendable.content_length = body.size
        await _stream(raw, sendable, _each(body), _PATIENCE)
    elif not isinstance(body, bytes):
        if raw.version >= (1, 1):
            sendable.enable_chunked_encoding()
        # Whoever reads logs may stop and look at them.
        await _stream(raw, sendable, body, _PATIENCE if request.verb == "watch" else None)
    return sendable


async def _each(body: Shared) -> AsyncIterator[bytes]:
    for piece in body.pieces():
        yield piece


def told_warnings(texts: Iterable[str]) -> list[str]:
    """Warnings as upstream bounds them: each once; when they have more than 4,096 characters, 256 of each, and none
    after that many.
    """
    once = list(dict.fromkeys(text for text in texts if text))
    if sum(map(len, once)) <= _WARNINGS_TOTAL:
        return once
    told: list[str] = []
    written = 0
    for text in once:
        if written >= _WARNINGS_TOTAL:
            break
        told.append(text[:_WARNING_EACH])
        written += len(told[-1])
    return told


async def _compressed(raw: web.BaseRequest, body: bytes, headers: CIMultiDict[str]) -> bytes:
    """The body as it is sent: a large one compressed, which `headers` then say."""
    if len(body) <= compression.THRESHOLD_BYTES or "Content-Encoding" in headers:
        return body
    if not compression.accepts_gzip(raw.headers):
        return body
    headers["Content-Encoding"] = "gzip"
    headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Accept-Encoding")))
    return await asyncio.to_thread(compression.gzipped, body)


def _quoted(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean.replace("\\", "\\\\").replace('"', '\\"')


async def _stream(
    raw: web.BaseRequest, response: web.StreamResponse, pieces: AsyncIterator[bytes], seconds: float | None
) -> None:
    """Send as fast as the client takes it, with little in between; one that takes nothing for so long is cut off."""
    patience = _Patience(raw.transport, seconds)
    try:
        await response.prepare(raw)
        async for piece in pieces:
            if piece:
                patience.turn += 1
                await response.write(piece)
                patience.turn += 1
        await response.write_eof()
    except CutShort as error:
        log.info("%s %s: the answer that was passed on ended early: %s", raw.method, raw.path, error)
        if raw.transport is not None:
            raw.transport.abort()
    except (ConnectionError, asyncio.CancelledError):
        if raw.transport is not None and not raw.transport.is_closing():
            raise
    finally:
        patience.ends()
        await _closed(pieces)


class _Patience:
    """Breaks off a connection whose client has not made room for a piece for so many seconds, which is looked at that
    often. turn: counts the begins and ends of waiting, so it is odd meanwhile.
    """

    def __init__(self, transport: asyncio.Transport | None, seconds: float | None) -> None:
        self._transport, self._seconds = transport, seconds
        self.turn = self._seen = 0
        self._loop = asyncio.get_running_loop()
        if transport is not None:
            # More would be the memory of clients that do not read.
            transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        self._timer = self._loop.call_later(seconds, self._look) if seconds is not None else None

    def ends(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        assert self._seconds is not None
        if self.turn & 1 and self.turn == self._seen and self._transport is not None:
            self._transport.abort()
            return
        self._seen = self.turn
        self._timer = self._loop.call_later(self._seconds, self._look)


async def _closed(pieces: AsyncIterator[bytes]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        with contextlib.suppress(Exception):
            await close()


class _Nothing(web.StreamResponse):
    """The handler has answered on the transport itself."""

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None

"""Asking a webhook over HTTPS: deadlines, certificates, connections kept for the next question."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson

from apimachinery import errors
from apimachinery.kit.http import abc, aiohttp
from controlplane.apiserver.admission.webhooks.hooks import Target
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.streams.services import Services, Unresolved, trusting, why

_AGENT = "kube-apiserver-admission"
_LARGEST_ANSWER = 4 << 20
# Of as many different caBundles the contexts are kept.
_CONTEXTS = 64
_CONNECTIONS, _PER_HOST, _IDLE_SECONDS = 100, 25, 60.0
_STATUS_TEXTS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


class CallError(Exception):
    """No usable answer came; the text says why, as upstream's client does."""


class Caller:
    """One pool of connections to all webhooks. Belongs to the server's event loop."""

    def __init__(self, registry: Registry, pick: Callable[[list[Any]], Any] = random.choice) -> None:
        self._services = Services(registry, pick)
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[bytes, ssl.SSLContext] = {}

    async def post(
        self, target: Target, review: Any, seconds: float, says_timeout: bool = True, largest: int = _LARGEST_ANSWER
    ) -> Any:
        """The decoded answer to a review, of at most `largest` bytes. Raises CallError; asks a second time only when a
        kept connection was dead. says_timeout: the webhook is told how long it has.
        """
        told = f"{'&' if '?' in target.url else '?'}timeout={math.ceil(seconds)}s" if says_timeout else ""
        url = target.url + told
        body = orjson.dumps(review)
        where = ""
        try:
            if target.service is not None:
                where = "{}:{}".format(*self._services.resolve(*target.service))
            status, answer = await self._asked(url, body, self._context(target.ca), seconds, largest)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError, Unresolved) as error:
            raise CallError(f"Post {errors.quoted(url)}: {why(error, where)}") from error
        if not 200 <= status <= 206:
            raise CallError(_refused(status, answer))
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError as error:
            raise CallError(f"couldn't get version/kind; json parse error: {error}") from None

    async def _asked(
        self, url: str, body: bytes, tls: ssl.SSLContext, seconds: float, largest: int
    ) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=seconds)
        for last in (False, True):
            mark = SimpleNamespace(reused=False)
            try:
                async with self._opened().post(
                    url, data=body, ssl=tls, timeout=timeout, allow_redirects=False, trace_request_ctx=mark
                ) as response:
                    return response.status, await _read(response, largest)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                if last or not mark.reused:
                    raise
        raise AssertionError("unreachable")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_Resolver(self._services),
                use_dns_cache=False,
                limit=_CONNECTIONS,
                limit_per_host=_PER_HOST,
                keepalive_timeout=_IDLE_SECONDS,
            )
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_reused)
            headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": _AGENT}
            self._session = aiohttp.ClientSession(
                connector=connector, headers=headers, trust_env=False, trace_configs=[trace], auto_decompress=True
            )
        return self._session

    def _context(self, ca: bytes) -> ssl.SSLContext:
        found = self._contexts.get(ca)
        if found is None:
            if len(self._contexts) >= _CONTEXTS:
                self._contexts.clear()
            found = self._contexts[ca] = trusting(ca)
        return found

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Resolver(abc.AbstractResolver):
    """Names of Services by what the server knows of them, all others by the machine's resolver."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[abc.ResolveResult]:
        name, _, rest = host.partition(".")
        namespace, _, end = rest.partition(".")
        if end == "svc" and namespace:
            try:
                host, port = self._services.resolve(namespace, name, port)
            except Unresolved as error:
                raise OSError(None, str(error)) from error
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        return [
            abc.ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        return None


async def _reused(session: Any, context: Any, parameters: Any) -> None:
    context.trace_request_ctx.reused = True


async def _read(response: aiohttp.ClientResponse, largest: int) -> bytes:
    body = await response.content.read(largest + 1)
    while (piece := await response.content.read(largest + 1)) and len(body) <= largest:
        body += piece
    if len(body) > largest:
        raise ValueError(f"the answer is longer than {largest} bytes")
    return body


def _refused(status: int, body: bytes) -> str:
    text = body[:2048].decode(errors="replace").strip()
    if status in _STATUS_TEXTS:
        return _STATUS_TEXTS[status]
    if status >= 500:
        return f"an error on the server ({errors.quoted(text)}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"

"""Asking a webhook over HTTPS: deadlines, certificates, connections kept for the next question."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import random
import socket
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson

from apimachinery import errors
from apimachinery.kinds import ENDPOINT_SLICE, SERVICE
from apimachinery.kit.http import abc, aiohttp
from controlplane.apiserver.admission.webhooks.hooks import Target
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.streams import targets

_AGENT = "kube-apiserver-admission"
_LARGEST_ANSWER = 4 << 20
# Of as many different caBundles the contexts are kept.
_CONTEXTS = 64
_CONNECTIONS, _PER_HOST, _IDLE_SECONDS = 100, 25, 60.0
_UNTRUSTED = "certificate signed by unknown authority"
# OpenSSL's verification results in the words of Go's x509.
_X509 = {10: "certificate has expired or is not yet valid", 9: "certificate has expired or is not yet valid"}
_HOSTNAME_MISMATCH = 62
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
        self._registry = registry
        self._pick = pick
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[bytes, ssl.SSLContext] = {}

    async def post(self, target: Target, review: Any, seconds: float) -> Any:
        """The decoded answer to a review. Raises CallError; asks a second time only when a kept connection was dead."""
        url = f"{target.url}{'&' if '?' in target.url else '?'}timeout={math.ceil(seconds)}s"
        body = orjson.dumps(review)
        where = ""
        try:
            if target.service is not None:
                where = "{}:{}".format(*self.resolve(*target.service))
            status, answer = await self._asked(url, body, self._context(target.ca), seconds)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError, _Unresolved) as error:
            raise CallError(f"Post {errors.quoted(url)}: {_why(error, where)}") from error
        if not 200 <= status <= 206:
            raise CallError(_refused(status, answer))
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError as error:
            raise CallError(f"couldn't get version/kind; json parse error: {error}") from None

    async def _asked(self, url: str, body: bytes, tls: ssl.SSLContext, seconds: float) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=seconds)
        for last in (False, True):
            mark = SimpleNamespace(reused=False)
            try:
                async with self._opened().post(
                    url, data=body, ssl=tls, timeout=timeout, allow_redirects=False, trace_request_ctx=mark
                ) as response:
                    return response.status, await _read(response)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                if last or not mark.reused:
                    raise
        raise AssertionError("unreachable")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_Resolver(self),
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
            found = self._contexts[ca] = _trusting(ca)
        return found

    def resolve(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """An address behind a Service: a ready endpoint, or the cluster IP where nobody tells endpoints."""
        service = self._registry.find(SERVICE, namespace, name)
        if service is None:
            raise _Unresolved(f'service "{name}" not found')
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return str(spec.get("externalName")), port
        called = next((str(one.get("name") or "") for one in spec.get("ports") or () if one.get("port") == port), None)
        if called is None:
            raise _Unresolved(f'no service port {port} found for service "{name}"')
        listed = self._registry.items(ENDPOINT_SLICE, namespace)
        slices = [s for s in listed if (s["metadata"].get("labels") or {}).get(targets.SERVICE_LABEL) == name]
        address = spec.get("clusterIP") or ""
        if not slices and address not in ("", "None"):
            return address, port
        found = [(one.address, one.port) for one in targets.ready(slices, called)]
        if not found:
            raise _Unresolved(f'no endpoints available for service "{name}"')
        host, number = self._pick(found)
        return str(host), int(number)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _trusting(ca: bytes) -> ssl.SSLContext:
    """Trusts what a caBundle holds, as Go does: also a server's own or an intermediate certificate.

    Without a bundle the machine's authorities are trusted.
    """
    context = ssl.create_default_context(cadata=ca.decode("ascii") if ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    # Later Pythons refuse certificates whose extensions are not quite in order, which Go accepts.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class _Unresolved(Exception):
    """There is no address behind the Service."""


class _Resolver(abc.AbstractResolver):
    """Names of Services by what the server knows of them, all others by the machine's resolver."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[abc.ResolveResult]:
        name, _, rest = host.partition(".")
        namespace, _, end = rest.partition(".")
        if end == "svc" and namespace:
            try:
                host, port = self._caller.resolve(namespace, name, port)
            except _Unresolved as error:
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


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = await response.content.read(_LARGEST_ANSWER + 1)
    while (piece := await response.content.read(_LARGEST_ANSWER + 1)) and len(body) <= _LARGEST_ANSWER:
        body += piece
    if len(body) > _LARGEST_ANSWER:
        raise ValueError(f"the answer is longer than {_LARGEST_ANSWER} bytes")
    return body


def _refused(status: int, body: bytes) -> str:
    text = body[:2048].decode(errors="replace").strip()
    if status in _STATUS_TEXTS:
        return _STATUS_TEXTS[status]
    if status >= 500:
        return f"an error on the server ({errors.quoted(text)}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"


def _why(error: BaseException, where: str) -> str:
    """An error of the connection in the words of Go's client. where: the address dialled, when it is not in the URL."""
    if isinstance(error, asyncio.TimeoutError):
        return "context deadline exceeded"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {_certificate(error.certificate_error, error.host)}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        if "WRONG_VERSION_NUMBER" in str(error) or "HTTP_REQUEST" in str(error):
            return "http: server gave HTTP response to HTTPS client"
        return f"tls: {error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        text = os.strerror(number).lower() if number else str(error.os_error)
        return f"dial tcp {where or f'{error.host}:{error.port}'}: connect: {text}"
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)):
        return "EOF"
    if isinstance(error, OSError) and error.errno == errno.ECONNRESET:
        return "read: connection reset by peer"
    return str(error) or type(error).__name__


def _certificate(error: BaseException, host: str) -> str:
    code = getattr(error, "verify_code", 0)
    if code == _HOSTNAME_MISMATCH:
        return f"certificate is not valid for {host}"
    return _X509.get(code, _UNTRUSTED)

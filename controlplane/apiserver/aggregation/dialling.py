"""Asking the servers behind APIServices over HTTPS; connections are kept for the next question."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from apimachinery import errors
from apimachinery.kit.http import aiohttp
from controlplane.apiserver.aggregation.remotes import Remote
from controlplane.apiserver.authn.front_proxy import headers_of
from controlplane.apiserver.authn.user import MASTERS
from controlplane.apiserver.request import CutShort, User
from controlplane.apiserver.streams import backend, wire
from controlplane.apiserver.streams.services import Services, trusting, why

# Of as many different servers the TLS contexts are kept.
_CONTEXTS = 256
_CONNECT_SECONDS, _IDLE_SECONDS = 30.0, 90.0
_AUTOMATIC = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
Headers = Iterable[tuple[str, str]]

# Whoever may do everything is let through by every server.
SELF = User("system:kube-aggregator", groups=(MASTERS,))


class Unreached(Exception):
    """No answer came; the text says why, as upstream's client does."""


class Untrusting(Exception):
    """There is nobody to trust in the caBundle; the text is upstream's."""


@dataclass(frozen=True)
class Answered:
    """An answer whose head has been read."""

    head: wire.Head
    response: aiohttp.ClientResponse

    async def body(self) -> AsyncIterator[bytes]:
        """The pieces of the body as they come; the connection is given back with the last one. Raises CutShort."""
        try:
            async for piece in self.response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise CutShort(why(error, "")) from error
        finally:
            self.response.close()

    async def whole(self, limit: int) -> bytes:
        """The whole body. Raises Unreached for one that is longer or cut short."""
        out = bytearray()
        try:
            async for piece in self.body():
                out += piece
                if len(out) > limit:
                    raise Unreached(f"the answer is longer than {limit} bytes")
        except CutShort as error:
            raise Unreached(str(error)) from error
        return bytes(out)

    async def close(self) -> None:
        self.response.close()


class Dialler:
    """One pool of connections to all of them. Belongs to the server's event loop.

    certificate: the certificate and key by which this server proves that it may say who asks; None: it has none.
    Raises OSError for one that cannot be read.
    """

    def __init__(self, services: Services, certificate: tuple[Path, Path] | None) -> None:
        if certificate is not None:
            # What is wrong with it is found out now, and not by the first request.
            backend.client_context(*certificate, None)
        self._services = services
        self._certificate = certificate
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[bytes, bool, str], ssl.SSLContext] = {}

    def trusts(self, remote: Remote) -> None:
        """Raises Untrusting when its caBundle holds no certificate."""
        self._context(remote)

    def address(self, remote: Remote) -> backend.Address:
        """Where to dial. Raises Unresolved, Untrusting."""
        context = self._context(remote)
        host, port = self._services.resolve(*remote.service)
        return backend.Address(host, port, context, remote.host)

    async def ask(
        self,
        address: backend.Address,
        method: str,
        target: str,
        headers: Headers,
        body: AsyncIterator[bytes] | None = None,
        seconds: float | None = None,
    ) -> Answered:
        """Send a request and read the head of the answer. Raises Unreached.

        seconds: what all of it may take, the answer's body included; None: as long as it lasts.
        """
        url = URL(f"https://{address.authority}{target}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        try:
            response = await self._opened().request(
                method,
                url,
                headers=list(headers),
                data=body,
                ssl=address.tls or False,
                server_hostname=address.name or None,
                timeout=timeout,
                allow_redirects=False,
                skip_auto_headers=_AUTOMATIC,
            )
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            raise Unreached(why(error, "", address.name)) from error
        if response.connection is not None and response.connection.transport is not None:
            backend.keep_alive(response.connection.transport.get_extra_info("socket"))
        found = tuple((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in response.raw_headers)
        return Answered(wire.Head(response.status, found, b""), response)

    async def upgrade(
        self, address: backend.Address, method: str, target: str, headers: Headers, body: AsyncIterator[bytes] | None
    ) -> backend.Connection:
        """Ask for another protocol, on a connection of its own. Raises Unreached."""
        # Heads are written in Latin-1: so names keep the bytes that they have elsewhere.
        plain = [(name, value.encode().decode("latin-1")) for name, value in headers]
        try:
            return await backend.call(address, method, target, plain, body)
        except errors.InternalError as error:
            raise Unreached(error.message.removeprefix("error dialing backend: ")) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Watches keep theirs for as long as they last.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=False, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _context(self, remote: Remote) -> ssl.SSLContext:
        """One for each server's name, so that no connection is shared whose certificate was looked at for another."""
        key = (remote.ca, remote.unverified, remote.host)
        found = self._contexts.get(key)
        if found is None:
            if len(self._contexts) >= _CONTEXTS:
                self._contexts.clear()
            found = self._contexts[key] = self._made(remote)
        return found

    def _made(self, remote: Remote) -> ssl.SSLContext:
        if remote.unverified:
            context = backend.client_context(None, None, None)
        else:
            try:
                context = trusting(remote.ca)
            except ssl.SSLError as error:
                text = "unable to load root certificates: unable to parse bytes as PEM block"
                raise Untrusting(text) from error
        if self._certificate is not None:
            context.load_cert_chain(*self._certificate)
        return context

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class Asker:
    """This server's own questions to the others."""

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler

    async def ask(self, remote: Remote, target: str, headers: Mapping[str, str], seconds: float) -> Answered:
        """GET something of a server. Raises Unreached, Unresolved, Untrusting."""
        address = self._dialler.address(remote)
        sent = [*headers_of(SELF), *headers.items()]
        return await self._dialler.ask(address, "GET", target, sent, seconds=seconds)

"""A connection pool to one API server as one user: requests by path, every one with a deadline.

Answers that are no success raise `errors.ApiError`; when no answer comes, `errors.Unreachable`.
"""

from __future__ import annotations

import asyncio
import copy
import math
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import yarl

from apimachinery import errors, kubeconfig
from apimachinery.kit.http import aiohttp
from apimachinery.objects import Obj, dumps, loads

# Seconds for one request that is no stream, from connecting to the last byte.
DEADLINE = 30.0
CONNECT_DEADLINE = 10.0
# Bookmarks of a watch come every minute or so; a stream silent for so long is dead.
SILENCE = 600
# Seconds between looks for a server that takes no connections: a local one is back in well under a second.
PROBE_FIRST, PROBE_MAX = 0.05, 2.0
_READING = ("GET", "HEAD")

C = TypeVar("C", bound="Connections")


class TokenSource(Protocol):
    """Bearer tokens that are renewed as they age."""

    async def token(self) -> str:
        """A token that is good now. ApiError, Unreachable."""
        ...

    def rejected(self, token: str) -> None:
        """The server did not take it: the next request needs another."""
        ...


class Connections:
    """Those to one API server as one user."""

    def __init__(
        self,
        server: str,
        ssl_context: ssl.SSLContext | None,
        *,
        token: str | None = None,
        token_file: Path | None = None,
        tokens: TokenSource | None = None,
        user_agent: str = "wherry",
        pool: aiohttp.BaseConnector | None = None,
        left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._server = server.rstrip("/")
        self._token = token
        self._token_file = token_file
        self._tokens = tokens
        self._left = left
        self._probe: asyncio.Task[None] | None = None
        self._session = aiohttp.ClientSession(
            connector=pool or aiohttp.TCPConnector(ssl=ssl_context or True, limit=0, keepalive_timeout=60),
            connector_owner=pool is None,
            # Beside the server, compressing lists costs both sides more than it saves.
            headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=DEADLINE, sock_connect=CONNECT_DEADLINE),
            read_bufsize=1 << 18,
            auto_decompress=True,
        )

    @classmethod
    def from_kubeconfig(cls: type[C], path: Path, user_agent: str = "wherry") -> C:
        """A client as the file's current context says. Call it with a running loop. KubeconfigError."""
        return cls.of(kubeconfig.load(path), user_agent)

    @classmethod
    def of(cls: type[C], cluster: kubeconfig.Cluster, user_agent: str = "wherry") -> C:
        """A client of a cluster, as the user that stands beside it."""
        return cls(
            cluster.server,
            cluster.ssl_context() if cluster.server.startswith("https:") else None,
            token=cluster.token,
            token_file=cluster.token_file,
            user_agent=user_agent,
        )

    def bearing(self: C, tokens: TokenSource, user_agent: str) -> C:
        """A client with tokens of its own over this one's connections, which must present no certificate: that
        would go before any token. Its connections end with this one's.
        """
        return type(self)(self._server, None, tokens=tokens, user_agent=user_agent, pool=self._session.connector)

    def guarded(self: C, left: Callable[[], float]) -> C:
        """The same client, but that its writes are over within the seconds that are `left`; when none are, nothing is
        sent. Either way the request fails as Unreachable. It lives and ends with this one.
        """
        result = copy.copy(self)
        result._left = left
        return result

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._server

    async def close(self) -> None:
        """Close every connection; requests under way fail."""
        if self._probe is not None:
            self._probe.cancel()
        await self._session.close()

    async def reachable(self) -> None:
        """Return when the server takes connections. However many wait, one asks."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.ensure_future(self._until_connected())
        await asyncio.shield(self._probe)

    async def _until_connected(self) -> None:
        url = yarl.URL(self._server)
        pause = PROBE_FIRST
        while True:
            try:
                connecting = asyncio.open_connection(url.host, url.port)
                _, writer = await asyncio.wait_for(connecting, CONNECT_DEADLINE)
            except (OSError, asyncio.TimeoutError):
                await asyncio.sleep(pause)
                pause = min(pause * 1.2, PROBE_MAX)
            else:
                writer.close()
                return

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        timeout: float = DEADLINE,
    ) -> Obj:
        """Any request with a JSON (or no) answer; `body` is JSON-encoded unless it is bytes."""
        data: bytes | None = None
        sent = dict(headers or {})
        if body is not None:
            data = body if isinstance(body, bytes) else dumps(body)
            sent["Content-Type"] = content_type
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_DEADLINE)
        async with self._exchange(method, path, query or {}, data, sent, limits) as response:
            raw = await response.read()
        result: Obj = loads(raw) if raw.lstrip()[:1] in (b"{", b"[") else {"raw": raw.decode(errors="replace")}
        return result

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """An answer that is no object, piece by piece; it may take as long as it comes."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE, sock_read=SILENCE)
        async with self._exchange("GET", path, {}, None, {"Accept": "*/*"}, limits) as response:
            async for piece in response.content.iter_any():
                yield piece

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        data: bytes | None,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One HTTP exchange whose failures are already ours."""
        headers.setdefault("Accept", "application/json")
        token = await self._bearer()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if method not in _READING:
            # Last: to get a token may have taken a while.
            left = self._left()
            if left <= 0:
                raise errors.Unreachable(f"{method} {path}: not sent, this process may not write now")
            timeout = aiohttp.ClientTimeout(total=min(timeout.total or left, left), sock_connect=timeout.sock_connect)
        url = yarl.URL(self._server + quote(path), encoded=True).with_query(query)
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status >= 400:
                    if response.status == 401 and self._tokens is not None and token:
                        self._tokens.rejected(token)
                    raise _failure(response.status, await response.read(), response.headers)
                yield response
        except asyncio.TimeoutError as error:
            raise errors.Unreachable(f"{method} {path}: no answer in time from {self._server}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise errors.Unreachable(f"{method} {path}: {error}") from error

    async def _bearer(self) -> str | None:
        if self._tokens is not None:
            return await self._tokens.token()
        if self._token_file is not None:
            # Read each time: mounted tokens are renewed in place.
            return (await asyncio.to_thread(self._token_file.read_text)).strip()
        return self._token


def _failure(status: int, raw: bytes, headers: Mapping[str, str]) -> errors.ApiError:
    try:
        body = loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict) or body.get("kind") != "Status":
        body = {"message": raw.decode(errors="replace").strip()[:500]}
    error = errors.from_status(body, status)
    after = headers.get("Retry-After", "")
    if error.retry_after is None and after.isdigit():
        error.retry_after = int(after)
    return error

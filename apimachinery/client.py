"""The API client of every daemon: dicts in, dicts out, every call with a deadline.

Answers that are no success raise `errors.ApiError`; when no answer comes, `errors.Unreachable`.
"""

from __future__ import annotations

import asyncio
import copy
import enum
import math
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import yarl

from apimachinery import errors, kubeconfig, watch
from apimachinery.kinds import Kind
from apimachinery.kit.http import aiohttp
from apimachinery.objects import Obj, dumps, loads, name, namespace

# Seconds for one request that is no stream, from connecting to the last byte.
DEADLINE = 30.0
_READING = ("GET", "HEAD")
CONNECT_DEADLINE = 10.0
# Seconds between looks for a server that takes no connections: a local one is back in well under a second.
PROBE_FIRST, PROBE_MAX = 0.05, 2.0
# A list of more is fetched in pages of this many.
PAGE = 500
# The server ends a watch after this many seconds; the informer begins the next where it ended. A watch
# whose connection died silently is found when even this and its grace are over.
WATCH_SECONDS = 540
WATCH_GRACE = 30
# Bookmarks come every minute or so; one silent for so long is dead.
WATCH_SILENCE = 600


class PatchType(enum.Enum):
    """The four patches of the API, by media type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class TokenSource(Protocol):
    """Bearer tokens that are renewed as they age."""

    async def token(self) -> str:
        """A token that is good now. ApiError, Unreachable."""
        ...

    def rejected(self, token: str) -> None:
        """The server did not take it: the next request needs another."""
        ...


class Client:
    """A connection pool to one API server as one user."""

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
    def from_kubeconfig(cls, path: Path, user_agent: str = "wherry") -> Client:
        """A client as the file's current context says. Call it with a running loop. KubeconfigError."""
        return cls.of(kubeconfig.load(path), user_agent)

    @classmethod
    def of(cls, cluster: kubeconfig.Cluster, user_agent: str = "wherry") -> Client:
        """A client of a cluster, as the user that stands beside it."""
        return cls(
            cluster.server,
            cluster.ssl_context() if cluster.server.startswith("https:") else None,
            token=cluster.token,
            token_file=cluster.token_file,
            user_agent=user_agent,
        )

    def bearing(self, tokens: TokenSource, user_agent: str) -> Client:
        """A client with tokens of its own over this one's connections, which must present no certificate: that
        would go before any token. Its connections end with this one's.
        """
        return Client(self._server, None, tokens=tokens, user_agent=user_agent, pool=self._session.connector)

    def guarded(self, left: Callable[[], float]) -> Client:
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

    async def get(self, kind: Kind, name: str, namespace: str | None = None, subresource: str | None = None) -> Obj:
        """One object."""
        return await self.request("GET", kind.path(namespace, name, subresource))

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        limit: int = PAGE,
        transform: Callable[[Obj], Obj] | None = None,
    ) -> Obj:
        """A whole list, its pages joined; each item has its apiVersion and kind filled in.

        `resource_version` "0" accepts whatever the server has at hand. `transform` is given each item before the next
        page is asked for: what it drops is never held for all of them.
        """
        query = _query(labelSelector=label_selector, fieldSelector=field_selector, limit=str(limit))
        if resource_version:
            query["resourceVersion"] = resource_version
        path = kind.path(namespace)
        items: list[Obj] = []
        while True:
            result = await self.request("GET", path, query=query)
            for item in result.get("items") or ():
                item["apiVersion"], item["kind"] = kind.api_version, kind.kind
                items.append(transform(item) if transform else item)
            token = (result.get("metadata") or {}).get("continue")
            if not token:
                result["items"] = items
                return result
            query["continue"] = token
            query.pop("resourceVersion", None)

    async def create(
        self,
        kind: Kind,
        obj: Obj,
        namespace: str | None = None,
        *,
        name: str | None = None,
        subresource: str | None = None,
    ) -> Obj:
        """POST an object; with `name` and `subresource`: a Binding, an Eviction, a TokenRequest, …"""
        space = namespace or _namespace(obj)
        return await self.request("POST", kind.path(space, name, subresource), body=obj)

    async def update(self, kind: Kind, obj: Obj, subresource: str | None = None) -> Obj:
        """PUT an object; its resourceVersion, when set, guards against lost updates (Conflict)."""
        return await self.request("PUT", kind.path(_namespace(obj), name(obj), subresource), body=obj)

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        patch_type: PatchType = PatchType.MERGE,
        field_manager: str = "",
        force: bool = False,
    ) -> Obj:
        """Change part of an object; `patch` is the patch document, `force` only for APPLY."""
        query = _query(fieldManager=field_manager, force="true" if force else "")
        return await self.request(
            "PATCH",
            kind.path(namespace, name, subresource),
            query=query,
            body=patch,
            content_type=patch_type.value,
        )

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        grace_period: int | None = None,
        propagation: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Obj:
        """Delete an object; `uid` and `resource_version` are preconditions, grace in seconds.

        `propagation` is Background, Foreground or Orphan.
        """
        options = _delete_options(grace_period, propagation, uid, resource_version)
        return await self.request("DELETE", kind.path(namespace, name), body=options)

    async def delete_collection(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        propagation: str | None = None,
        grace_period: int | None = None,
    ) -> Obj:
        """Delete every object that the selectors match."""
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        options = _delete_options(grace_period, propagation, None, None)
        return await self.request("DELETE", kind.path(namespace), query=query, body=options)

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[tuple[str, Obj]]:
        """Events after `resource_version`: (ADDED | MODIFIED | DELETED | BOOKMARK, object).

        Ends when the server ends it; raises Expired when that version is compacted away.
        """
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        query.update(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            timeoutSeconds=str(WATCH_SECONDS),
        )
        timeout = aiohttp.ClientTimeout(
            total=WATCH_SECONDS + WATCH_GRACE, sock_connect=CONNECT_DEADLINE, sock_read=WATCH_SILENCE
        )
        decoder = watch.Decoder()
        async with self._exchange("GET", kind.path(namespace), query, None, {}, timeout) as response:
            async for chunk in response.content.iter_any():
                for event in decoder.feed(chunk):
                    yield event

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
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE, sock_read=WATCH_SILENCE)
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


def _query(**fields: str) -> dict[str, str]:
    return {key: value for key, value in fields.items() if value}


def _namespace(obj: Obj) -> str | None:
    return namespace(obj) or None


def _delete_options(
    grace_period: int | None, propagation: str | None, uid: str | None, resource_version: str | None
) -> Obj:
    preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
    options: Obj = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if grace_period is not None:
        options["gracePeriodSeconds"] = grace_period
    if propagation is not None:
        options["propagationPolicy"] = propagation
    if preconditions:
        options["preconditions"] = preconditions
    return options


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

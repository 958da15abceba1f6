"""The API client of every daemon: dicts in, dicts out, by kind.

Answers that are no success raise `errors.ApiError`; when no answer comes, `errors.Unreachable`.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable
from typing import Any

from apimachinery import watch
from apimachinery.connections import CONNECT_DEADLINE, SILENCE, Connections
from apimachinery.kinds import Kind
from apimachinery.kit.http import aiohttp
from apimachinery.objects import Obj, name, namespace

# A list of more is fetched in pages of this many.
PAGE = 500
# The server ends a watch after this many seconds; the informer begins the next where it ended. A watch
# whose connection died silently is found when even this and its grace are over.
WATCH_SECONDS = 540
WATCH_GRACE = 30


class PatchType(enum.Enum):
    """The four patches of the API, by media type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class Client(Connections):
    """Objects of an API server, as one user reads and writes them."""

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
            total=WATCH_SECONDS + WATCH_GRACE, sock_connect=CONNECT_DEADLINE, sock_read=SILENCE
        )
        decoder = watch.Decoder()
        async with self._exchange("GET", kind.path(namespace), query, None, {}, timeout) as response:
            async for chunk in response.content.iter_any():
                for event in decoder.feed(chunk):
                    yield event


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

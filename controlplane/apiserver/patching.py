"""PATCH bodies: JSON patch, merge patch, strategic merge patch and server-side apply, ready to be tried on
an object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from apimachinery import errors
from apimachinery.kinds import Kind
from controlplane.apiserver import codec
from controlplane.apiserver.registry import Context
from controlplane.apiserver.request import Obj, Request
from controlplane.apiserver.router import is_true

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY_YAML, APPLY_CBOR = "application/apply-patch+yaml", "application/apply-patch+cbor"
_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC, APPLY_YAML)


@dataclass(frozen=True)
class Patch:
    """apply(private copy) -> the patched object; with creates, apply(None) makes a new one."""

    apply: Callable[[Obj | None], Obj]
    creates: bool = False


class Patcher(Protocol):
    async def read(self, request: Request, kind: Kind, context: Context) -> Patch: ...


class Patches:
    """Reads the body of a PATCH. Raises UnsupportedMediaType, BadRequest."""

    async def read(self, request: Request, kind: Kind, context: Context) -> Patch:
        media = codec.media_type(request)
        if media not in _TYPES:
            accepted = ", ".join(_TYPES)
            raise errors.UnsupportedMediaType(
                f"the body of the request was in an unknown format - accepted media types include: {accepted}"
            )
        body = await request.body()
        if media == APPLY_YAML:
            return _apply_patch(body, request, kind, context)
        patch = _loads(body)
        if media == JSON_PATCH:
            return Patch(lambda old: _json_patch(old, patch))
        if media == MERGE_PATCH:
            return Patch(lambda old: _merge(old, patch))
        return Patch(lambda old: _strategic(old, patch, kind))


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.BadRequest(f"error decoding patch: {error}") from error


def _json_patch(old: Obj | None, patch: Any) -> Obj:
    from apimachinery.patch import json_patch

    assert old is not None
    return json_patch(old, patch)


def _merge(old: Obj | None, patch: Any) -> Obj:
    from apimachinery.patch import merge_patch

    assert old is not None
    return merge_patch(old, patch)


def _strategic(old: Obj | None, patch: Any, kind: Kind) -> Obj:
    raise errors.UnsupportedMediaType("strategic merge patch is not served yet")


def _apply_patch(body: bytes, request: Request, kind: Kind, context: Context) -> Patch:
    if not request.param("fieldManager"):
        raise errors.BadRequest("fieldManager is required for apply patch")
    is_true(request.query, "force")
    raise errors.UnsupportedMediaType("server-side apply is not served yet")

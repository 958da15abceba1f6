"""PATCH bodies: JSON patch, merge patch, strategic merge patch and server-side apply, ready for use on an
object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import orjson

from apimachinery import apply as server_side
from apimachinery import errors, patch
from apimachinery.jsontext import reread
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.patch import complaints
from apimachinery.patch.directives import go_text
from apimachinery.timestamps import now
from controlplane.apiserver import codec, ownership
from controlplane.apiserver.formats.media import CUSTOM_PATCHES, JSON_PATCH, MERGE_PATCH, PATCHES, STRATEGIC
from controlplane.apiserver.offloop import LARGE, off_loop
from controlplane.apiserver.registry import Context
from controlplane.apiserver.request import Request
from controlplane.apiserver.router import is_true

_UNKNOWN = "the body of the request was in an unknown format - accepted media types include: "


@dataclass(frozen=True)
class Patch:
    """apply(private copy) -> the patched object, checked; with creates, apply(None) makes a new one."""

    apply: Callable[[Obj | None], Obj]
    creates: bool = False


class Patcher(Protocol):
    async def read(self, request: Request, kind: Kind, context: Context) -> Patch: ...


class Patches:
    """Reads the body of a PATCH. Raises UnsupportedMediaType, BadRequest."""

    async def read(self, request: Request, kind: Kind, context: Context) -> Patch:
        media = media_type(request)
        custom = context.catalog.custom(request.served) is not None
        if media not in (CUSTOM_PATCHES if custom else PATCHES):
            if custom:
                raise errors.UnsupportedMediaType(f"{_UNKNOWN}{', '.join(CUSTOM_PATCHES)}")
            # Of built-in kinds it is upstream's router that says so.
            raise errors.UnsupportedMediaType("415: Unsupported Media Type", details={})
        body = await request.body()
        context.size = len(body)
        return await off_loop(len(body), self._decoded, media, body, request, kind, context)

    def _decoded(self, media: str, body: bytes, request: Request, kind: Kind, context: Context) -> Patch:
        if media == JSON_PATCH:
            operations = patch.decode_json_patch(body)
            if any(operation.get("op") == "copy" for operation in operations):
                # A few of them make much of a small object.
                context.size = max(context.size, LARGE)
            odd = partial(complaints.of_json_patch, body, operations)
            reached = partial(patch.by_json_patch, operations)
            return _parsed(lambda old: patch.json_patch(old, operations), reached, odd, request.name, kind, context)
        if media == MERGE_PATCH:
            merge = patch.decode_merge_patch(body)
            odd = partial(complaints.of_merge, body)
            reached = partial(patch.by_merge, merge)
            return _parsed(lambda old: patch.merge_patch(old, merge), reached, odd, request.name, kind, context)
        if media == STRATEGIC:
            return _merged(patch.decode_strategic_merge(body), body, kind, context)
        return _applied(codec.read_applied(body, kind, context), request, kind, context)


def media_type(request: Request) -> str:
    """The body's type without parameters; of patches only the one spelling is known."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip()


def _parsed(
    work: Callable[[Obj], Obj],
    reached: Callable[[], patch.Reached],
    odd: Callable[[], tuple[str, ...]],
    name: str,
    kind: Kind,
    context: Context,
) -> Patch:
    """A patch of the object's JSON, which is read anew."""
    node = context.catalog.schema.node(kind.api_version, kind.kind)
    custom = context.catalog.custom(kind) is not None

    def apply(old: Obj | None) -> Obj:
        assert old is not None
        # The new one may share with it, and is put in order in place; a refusal alone wants one of the two again.
        before = b"" if custom else orjson.dumps(old)
        new = work(old)
        # What a retry finds is told once.
        del context.warnings[:]
        whole = orjson.dumps(new, option=orjson.OPT_SORT_KEYS).decode() if custom else ""
        how = codec.Patched(lambda: whole or patch.told(reread(before), work, reached(), node), name, odd=odd)
        codec.check_patched(new, kind, context, how)
        return new

    return Patch(apply)


def _merged(strategic: Obj, body: bytes, kind: Kind, context: Context) -> Patch:
    """A merge of the object as its type has it."""
    node = context.catalog.schema.node(kind.api_version, kind.kind)
    assert node is not None
    odd = partial(complaints.of_merge, body)

    def apply(old: Obj | None) -> Obj:
        assert old is not None
        new, left = patch.strategic_merge(old, strategic, node)
        how = codec.Patched(lambda: go_text(left), merged=True, odd=odd)
        del context.warnings[:]
        codec.check_patched(new, kind, context, how)
        return new

    return Patch(apply)


def _applied(wanted: Obj, request: Request, kind: Kind, context: Context) -> Patch:
    """Server-side apply of a configuration."""
    node = context.catalog.schema.node(kind.api_version, kind.kind)
    assert node is not None
    context.settled = True
    force = is_true(request.query, "force")
    strategy = context.catalog.strategy(kind)

    def apply(old: Obj | None) -> Obj:
        new = server_side.apply(
            old,
            wanted,
            manager=context.manager,
            node=node,
            now=now(),
            force=force,
            subresource=request.subresource,
            ignored=ownership.ignored(strategy, old if old is not None else wanted, request.subresource),
            versions=ownership.versions(kind, context, new=old is None),
        )
        codec.check_applied(new, wanted, kind, context)
        return new

    return Patch(apply, creates=True)

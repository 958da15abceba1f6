"""create, update, patch, delete and deletecollection: a client's body and options to the registry."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import orjson

from apimachinery import errors, jsontext
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver import codec, listing, pages
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.encoding import Format, Negotiate, encoded
from controlplane.apiserver.formats.media import APPLY_YAML, PLAIN_PATCHES
from controlplane.apiserver.offloop import off_loop
from controlplane.apiserver.options import delete_context, write_context
from controlplane.apiserver.patching import Patcher, media_type
from controlplane.apiserver.reading import many, one
from controlplane.apiserver.registry import Registry, metadata
from controlplane.apiserver.registry.conflicts import conflict, unlike
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.registry.registry import Change
from controlplane.apiserver.request import Request, Response

_ROUNDS = 10
"""So often somebody else may make or remove what is written."""


class Writing:
    """The generic handlers of every verb that changes something."""

    def __init__(self, registry: Registry, negotiate: Negotiate, patcher: Patcher) -> None:
        self._registry = registry
        self._negotiate = negotiate
        self._patcher = patcher

    async def create(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        context = write_context(request, "CreateOptions")
        obj = await codec.read_object(request, kind, context)
        namespace = request.space
        metadata.match_url(kind, obj, namespace, None)
        metadata.wipe(obj)
        context.warnings.extend(metadata.single_owners(obj))
        pinned = not context.dry_run and obj["metadata"].get("resourceVersion", "").strip("0").isdigit()
        storage = self._storage(kind)
        obj = context.catalog.convert(obj, storage)
        entry = await self._registry.create_entry(storage, obj, namespace, context, pinned)
        return await one(kind, entry, 201, format, tuple(context.warnings))

    async def update(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        context = write_context(request, "UpdateOptions")
        obj = await codec.read_object(request, kind, context)
        namespace = request.space
        metadata.match_url(kind, obj, namespace, request.name)
        context.warnings.extend(metadata.single_owners(obj))
        storage = self._storage(kind)
        obj = context.catalog.convert(obj, storage)
        body, wanted = await off_loop(context.size, orjson.dumps, obj), obj["metadata"].get("uid")

        def refuse(stored: str) -> errors.ApiError:
            row = replace(self._registry.catalog.of(storage), kind=kind)
            return unlike(row, namespace, request.name, wanted, stored, dry_run=context.dry_run)

        def change(old: Obj) -> Obj:
            if wanted and wanted != old["metadata"]["uid"]:
                raise refuse(old["metadata"]["uid"])
            new: Obj = jsontext.loads(body)
            return new

        async def make() -> Obj:
            if wanted:
                # A new object's uid is the server's to choose.
                raise refuse("")
            new: Obj = await off_loop(context.size, jsontext.loads, body)
            new["metadata"]["name"] = request.name
            new["metadata"].pop("resourceVersion", None)
            return new

        makes = not request.subresource and self._registry.strategy(storage).create_on_update
        entry, status = await self._written(request, context, change, make if makes else None)
        return await one(kind, entry, status, format, tuple(context.warnings))

    async def patch(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        context = write_context(request, "PatchOptions", applying=media_type(request) == APPLY_YAML)
        namespace, storage = request.space, self._storage(kind)
        if media_type(request) in PLAIN_PATCHES and await self._is_absent(request):
            self._registry.entry(storage, namespace, request.name)
        patch = await self._patcher.read(request, kind, context)

        def change(old: Obj) -> Obj:
            new = patch.apply(context.catalog.convert(old, kind))
            new["kind"], new["apiVersion"] = kind.kind, kind.api_version
            metadata.match_url(kind, new, namespace, request.name)
            return context.catalog.convert(new, storage)

        async def make() -> Obj:
            if request.subresource:
                raise errors.not_found(kind.plural, request.name, kind.group)
            obj = await off_loop(context.size, patch.apply, None)
            if uid := metadata.of(obj).get("uid"):
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise errors.conflict(kind.plural, request.name, why, kind.group)
            metadata.match_url(kind, obj, namespace, request.name)
            return context.catalog.convert(obj, storage)

        entry, status = await self._written(request, context, change, make if patch.creates else None)
        return await one(kind, entry, status, format, tuple(context.warnings))

    async def _written(
        self, request: Request, context: Context, change: Change, make: Callable[[], Awaitable[Obj]] | None
    ) -> tuple[Entry, int]:
        """The object changed, or made where there is none and it may be: whichever is right when it is stored, for
        others may make or remove it meanwhile.
        """
        storage, namespace, name = self._storage(request.served), request.space, request.name
        for _ in range(_ROUNDS):
            creates = make is not None and await self._is_absent(request)
            try:
                if make is not None and creates:
                    return await self._registry.create_entry(storage, await make(), namespace, context), 201
                sub = request.subresource
                return await self._registry.change_entry(storage, namespace, name, change, context, sub), 200
            except errors.AlreadyExists:
                if not creates:
                    raise
            except errors.NotFound:
                if make is None or creates or not await self._is_absent(request):
                    raise
        raise conflict(storage, name)

    async def _is_absent(self, request: Request) -> bool:
        """Whether there is no such object, by all that anybody was answered before, by whichever server."""
        collection = self._registry.collection(request.served)
        if collection.get(request.space, request.name) is None:
            await self._registry.fresh()
        return collection.get(request.space, request.name) is None

    async def delete(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        context = await delete_context(request)
        storage = self._storage(kind)
        strategy = self._registry.strategy(storage)
        context.warnings.extend(strategy.warn_deleted(context.options))
        if why := strategy.undeletable(request.name):
            raise errors.forbidden(kind.plural, request.name, why, kind.group)
        entry, gone = await self._registry.delete_entry(storage, request.space, request.name, context)
        if gone and not strategy.returns_deleted:
            await off_loop(len(entry.wire), entry.read_beside_others)
            return _success(kind, entry, format, tuple(context.warnings))
        # Whoever asks in the old way for dependents to go, too, is told that it is not done yet.
        status = 202 if not gone and context.options.get("orphanDependents") is False else 200
        return await one(kind, entry, status, format, tuple(context.warnings))

    async def deletecollection(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        options = listing.parse(request, watch=False)
        context = await delete_context(request)
        storage = self._storage(kind)
        context.warnings.extend(self._registry.strategy(storage).warn_deleted(context.options))
        entries, listed = await pages.page(self._registry, storage, options, await listing.selection(request))
        for entry in entries:
            with contextlib.suppress(errors.NotFound):
                await self._registry.delete_entry(storage, entry.namespace, entry.name, context)
        return replace(await many(kind, entries, listed, format), warnings=tuple(context.warnings))

    async def finalize(self, request: Request) -> Response:
        """namespaces/NAME/finalize: the one way to change spec.finalizers."""
        return await self.update(request)

    def _storage(self, kind: Kind) -> Kind:
        """The version that the registry works in: of custom resources it takes each."""
        collection = self._registry.collection(kind)
        return kind if collection.versioned else collection.kind


def _success(kind: Kind, entry: Entry, format: Format | None, warnings: tuple[str, ...]) -> Response:
    details: Obj = {"name": entry.name}
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.plural
    details["uid"] = entry.obj["metadata"]["uid"]
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    body, content_type = encoded(format, None, status)
    return Response(200, body, content_type, warnings=warnings)

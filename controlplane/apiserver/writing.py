"""create, update, patch, delete and deletecollection: a client's body and options to the registry."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import orjson

from apimachinery import errors, jsontext
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver import codec, listing, pages
from controlplane.apiserver.cache import select
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.encoding import Negotiate
from controlplane.apiserver.offloop import off_loop
from controlplane.apiserver.options import delete_context, write_context
from controlplane.apiserver.patching import APPLY_YAML, PLAIN_PATCHES, Patcher, media_type
from controlplane.apiserver.reading import many, one
from controlplane.apiserver.registry import Registry, metadata
from controlplane.apiserver.registry.conflicts import uid_conflict
from controlplane.apiserver.request import Request, Response


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
        if obj["metadata"].get("resourceVersion", "").strip("0").isdigit():
            raise errors.ApiError("resourceVersion should not be set on objects to be created")
        storage = self._storage(kind)
        obj = context.catalog.convert(obj, storage)
        entry = await self._registry.create_entry(storage, obj, namespace, context)
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
        if self._creates(storage, namespace, request, obj):
            obj["metadata"]["name"] = request.name
            obj["metadata"].pop("resourceVersion", None)
            entry = await self._registry.create_entry(storage, obj, namespace, context)
            return await one(kind, entry, 201, format, tuple(context.warnings))
        body, wanted = await off_loop(context.size, orjson.dumps, obj), obj["metadata"].get("uid")

        def change(old: Obj) -> Obj:
            if wanted and wanted != old["metadata"]["uid"]:
                row = self._registry.catalog.of(storage)
                raise uid_conflict(row, namespace, request.name, wanted, old["metadata"]["uid"])
            new: Obj = jsontext.loads(body)
            return new

        entry = await self._registry.change_entry(
            storage, namespace, request.name, change, context, request.subresource
        )
        return await one(kind, entry, 200, format, tuple(context.warnings))

    def _creates(self, kind: Kind, namespace: str, request: Request, obj: Obj) -> bool:
        if request.subresource or not self._registry.strategy(kind).create_on_update:
            return False
        if self._registry.collection(kind).get(namespace, request.name) is not None:
            return False
        if uid := obj["metadata"].get("uid"):
            # A new object's uid is the server's to choose.
            raise uid_conflict(self._registry.catalog.of(kind), namespace, request.name, uid, "")
        return True

    async def patch(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        context = write_context(request, "PatchOptions", applying=media_type(request) == APPLY_YAML)
        namespace, storage = request.space, self._storage(kind)
        if media_type(request) in PLAIN_PATCHES:
            self._registry.entry(storage, namespace, request.name)
        patch = await self._patcher.read(request, kind, context)
        if patch.creates and self._registry.collection(storage).get(namespace, request.name) is None:
            if request.subresource:
                raise errors.not_found(kind.plural, request.name, kind.group)
            obj = await off_loop(context.size, patch.apply, None)
            if uid := metadata.of(obj).get("uid"):
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise errors.conflict(kind.plural, request.name, why, kind.group)
            metadata.match_url(kind, obj, namespace, request.name)
            obj = context.catalog.convert(obj, storage)
            entry = await self._registry.create_entry(storage, obj, namespace, context)
            return await one(kind, entry, 201, format, tuple(context.warnings))

        def change(old: Obj) -> Obj:
            new = patch.apply(context.catalog.convert(old, kind))
            new["kind"], new["apiVersion"] = kind.kind, kind.api_version
            metadata.match_url(kind, new, namespace, request.name)
            return context.catalog.convert(new, storage)

        entry = await self._registry.change_entry(
            storage, namespace, request.name, change, context, request.subresource
        )
        return await one(kind, entry, 200, format, tuple(context.warnings))

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
            return _success(kind, entry, tuple(context.warnings))
        # Whoever asks in the old way for dependents to go, too, is told that it is not done yet.
        status = 202 if not gone and context.options.get("orphanDependents") is False else 200
        return await one(kind, entry, status, format, tuple(context.warnings))

    async def deletecollection(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        options = listing.parse(request, watch=False)
        context = await delete_context(request)
        storage, namespace = self._storage(kind), request.space
        context.warnings.extend(self._registry.strategy(storage).warn_deleted(context.options))
        labels, fields = request.param("labelSelector"), request.param("fieldSelector")
        selection = select.parse(kind, request.catalog.of(kind).fields, namespace, "", labels, fields)
        entries, listed = await pages.page(self._registry, storage, options, selection)
        for entry in entries:
            with contextlib.suppress(errors.NotFound):
                await self._registry.delete_entry(storage, entry.namespace, entry.name, context)
        return replace(await many(kind, entries, listed, format), warnings=tuple(context.warnings))

    async def finalize(self, request: Request) -> Response:
        """namespaces/NAME/finalize: the one way to change spec.finalizers."""
        return await self.update(request)

    def _storage(self, kind: Kind) -> Kind:
        return self._registry.collection(kind).kind


def _success(kind: Kind, entry: Entry, warnings: tuple[str, ...]) -> Response:
    details: Obj = {"name": entry.name}
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.plural
    details["uid"] = entry.obj["metadata"]["uid"]
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return Response(200, orjson.dumps(status), warnings=warnings)

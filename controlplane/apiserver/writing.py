"""create, update, patch, delete and deletecollection: a client's body and options to the registry."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import orjson

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.kinds import Kind
from controlplane.apiserver import codec, listing
from controlplane.apiserver.cache import select
from controlplane.apiserver.cache.entry import Entry
from controlplane.apiserver.convert import stored
from controlplane.apiserver.patching import APPLY_YAML, PLAIN_PATCHES, Patcher
from controlplane.apiserver.reading import many, one
from controlplane.apiserver.registry import Context, Registry, metadata
from controlplane.apiserver.request import Obj, Request, Response
from controlplane.apiserver.seam import Negotiate

_POLICIES = ("Foreground", "Background", "Orphan")


class Writing:
    """The generic handlers of every verb that changes something."""

    def __init__(self, registry: Registry, negotiate: Negotiate, patcher: Patcher) -> None:
        self._registry = registry
        self._negotiate = negotiate
        self._patcher = patcher

    async def create(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        context = _context(request, "CreateOptions")
        obj = await codec.read_object(request, kind, context)
        namespace = request.space
        metadata.match_url(kind, obj, namespace, None)
        storage = self._storage(kind)
        entry = await self._registry.create_entry(storage, stored(kind, obj, storage), namespace, context)
        return one(kind, entry, 201, format, tuple(context.warnings))

    async def update(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        context = _context(request, "UpdateOptions")
        obj = await codec.read_object(request, kind, context)
        namespace = request.space
        metadata.match_url(kind, obj, namespace, request.name)
        storage = self._storage(kind)
        obj = stored(kind, obj, storage)
        if self._creates(storage, namespace, request, obj):
            obj["metadata"]["name"] = request.name
            obj["metadata"].pop("resourceVersion", None)
            entry = await self._registry.create_entry(storage, obj, namespace, context)
            return one(kind, entry, 201, format, tuple(context.warnings))
        body = orjson.dumps(obj)
        entry = await self._registry.change_entry(
            storage, namespace, request.name, lambda _: orjson.loads(body), context, request.subresource
        )
        return one(kind, entry, 200, format, tuple(context.warnings))

    def _creates(self, kind: Kind, namespace: str, request: Request, obj: Obj) -> bool:
        if request.subresource or not self._registry.strategy(kind).create_on_update:
            return False
        if self._registry.collection(kind).get(namespace, request.name) is not None:
            return False
        if uid := obj["metadata"].get("uid"):
            raise self._registry.uid_conflict(kind, namespace, request.name, uid)
        return True

    async def patch(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        context = _context(request, "PatchOptions", applying=codec.media_type(request) == APPLY_YAML)
        namespace, storage = request.space, self._storage(kind)
        if request.headers.get("Content-Type", "").partition(";")[0] in PLAIN_PATCHES:
            self._registry.entry(storage, namespace, request.name)
        patch = await self._patcher.read(request, kind, context)
        if patch.creates and self._registry.collection(storage).get(namespace, request.name) is None:
            if request.subresource:
                raise errors.not_found(kind.plural, request.name, kind.group)
            obj = patch.apply(None)
            metadata.match_url(kind, obj, namespace, request.name)
            if uid := obj["metadata"].get("uid"):
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise errors.conflict(kind.plural, request.name, why, kind.group)
            entry = await self._registry.create_entry(storage, stored(kind, obj, storage), namespace, context)
            return one(kind, entry, 201, format, tuple(context.warnings))

        def change(old: Obj) -> Obj:
            if old["apiVersion"] != kind.api_version:
                old["kind"], old["apiVersion"] = kind.kind, kind.api_version
            before = dict(old["metadata"])
            new = patch.apply(old)
            new["kind"], new["apiVersion"] = kind.kind, kind.api_version
            metadata.refuse_changes(kind, new, before)
            metadata.match_url(kind, new, namespace, request.name)
            return stored(kind, new, storage)

        entry = await self._registry.change_entry(
            storage, namespace, request.name, change, context, request.subresource
        )
        return one(kind, entry, 200, format, tuple(context.warnings))

    async def delete(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        context = await _delete_context(request)
        storage = self._storage(kind)
        entry, gone = await self._registry.delete_entry(storage, request.space, request.name, context)
        if gone and not self._registry.strategy(storage).returns_deleted:
            return _success(kind, entry)
        return one(kind, entry, 200, format, tuple(context.warnings))

    async def deletecollection(self, request: Request) -> Response:
        kind, format = request.served, self._negotiate(request)
        context = await _delete_context(request)
        listing.parse(request, watch=False)
        storage, namespace = self._storage(kind), request.space
        labels, fields = request.param("labelSelector"), request.param("fieldSelector")
        selection = select.parse(kind, namespace, "", labels, fields)
        entries = list(self._registry.collection(storage).select(selection))
        revision = {"resourceVersion": str(self._registry.cache.revision)}
        for entry in entries:
            with contextlib.suppress(errors.NotFound):
                await self._registry.delete_entry(storage, entry.namespace, entry.name, context)
        return many(kind, entries, revision, format)

    async def finalize(self, request: Request) -> Response:
        """namespaces/NAME/finalize: the one way to change spec.finalizers."""
        return await self.update(request)

    def _storage(self, kind: Kind) -> Kind:
        return self._registry.collection(kind).kind


def _success(kind: Kind, entry: Entry) -> Response:
    details: Obj = {"name": entry.name}
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.plural
    details["uid"] = entry.obj["metadata"]["uid"]
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return Response(200, orjson.dumps(status))


def manager_of(request: Request) -> str:
    """The field manager: the parameter, or what the user agent calls itself."""
    if given := request.param("fieldManager"):
        return given
    agent = request.headers.get("User-Agent", "").split("/", 1)[0]
    return agent[:128] if agent else "unknown"


def _context(request: Request, options_kind: str, applying: bool = False) -> Context:
    dry = [value for value in request.query.get("dryRun", ()) if value]
    validation = request.param("fieldValidation")
    problems: list[FieldError] = []
    if any(value != "All" for value in dry):
        problems.append(errors.not_supported("dryRun", dry, ("All",)))
    manager = request.param("fieldManager")
    if applying and not manager:
        problems.append(errors.required("fieldManager", "is required for apply patch"))
    if options_kind == "PatchOptions" and not applying and "force" in request.query:
        problems.append(errors.field_forbidden("force", "may not be specified for non-apply patch"))
    if len(manager) > 128:
        problems.append(errors.too_long("fieldManager", 128))
    odd = next((at for at, c in enumerate(manager) if not c.isprintable()), None)
    if odd is not None:
        shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in manager)
        text = f'Invalid value: "{shown}": invalid character U+{ord(manager[odd]):04X} (at position {odd})'
        problems.append(FieldError("FieldValueInvalid", "fieldManager", text))
    if validation not in ("", "Ignore", "Warn", "Strict"):
        problems.append(errors.not_supported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
    if problems:
        raise errors.invalid_object(options_kind, "", problems, "meta.k8s.io")
    return Context(
        user=request.user,
        options={"kind": options_kind, "apiVersion": "meta.k8s.io/v1"},
        dry_run=bool(dry),
        manager=manager_of(request),
        field_validation=validation or "Warn",
    )


async def _delete_context(request: Request) -> Context:
    """DeleteOptions from the body or, without one, from the query."""
    options: Obj = {}
    body = await codec.read_options(request)
    options = body if body is not None else _query_options(request)
    dry = options.get("dryRun") or []
    problems: list[FieldError] = []
    policy, orphan = options.get("propagationPolicy"), options.get("orphanDependents")
    if policy is not None and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        problems.append(errors.invalid("propagationPolicy", policy, text))
    elif policy is not None and policy not in _POLICIES:
        problems.append(errors.not_supported("propagationPolicy", policy, (*_POLICIES, "nil")))
    if any(value != "All" for value in dry):
        problems.append(errors.not_supported("dryRun", dry, ("All",)))
    if problems:
        raise errors.invalid_object("DeleteOptions", "", problems, "meta.k8s.io")
    return Context(user=request.user, options=options, dry_run=bool(dry), manager=manager_of(request))


_QUERY: dict[str, Callable[[str], Any]] = {
    "gracePeriodSeconds": int,
    "propagationPolicy": str,
    "orphanDependents": lambda text: text.lower() not in ("0", "false"),
}


def _query_options(request: Request) -> Obj:
    options: Obj = {}
    for key, read in _QUERY.items():
        if text := request.param(key):
            try:
                options[key] = read(text)
            except ValueError as error:
                raise errors.BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
    if dry := [value for value in request.query.get("dryRun", ()) if value]:
        options["dryRun"] = dry
    return options

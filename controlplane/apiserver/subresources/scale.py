"""NAME/scale: the replica count of a workload, seen as an autoscaling/v1 Scale whatever the workload is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from apimachinery import errors, formats
from apimachinery.apply import to_parent, to_scale, track_update
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, copy
from apimachinery.schema import Schema
from apimachinery.timestamps import now
from controlplane.apiserver import body
from controlplane.apiserver.options import write_context
from controlplane.apiserver.patching import APPLY_YAML, Patcher, media_type
from controlplane.apiserver.registry import Context, metadata
from controlplane.apiserver.registry.conflicts import unlike
from controlplane.apiserver.request import Answer, Request
from controlplane.apiserver.rules import metadata as metadata_rules
from controlplane.apiserver.rules.values import NOT_NEGATIVE
from controlplane.apiserver.tables import texts

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class Scales:
    """Handlers of get, update and patch on NAME/scale of every kind that has one."""

    def __init__(self, registry: Registry, patcher: Patcher) -> None:
        self._registry = registry
        self._patcher = patcher

    async def get(self, request: Request) -> Answer:
        assert request.kind is not None
        return Answer(200, scale_of(self._registry.get(request.kind, request.namespace, request.name)))

    async def update(self, request: Request) -> Answer:
        context = write_context(request, "UpdateOptions")
        scale = await body.read(request, body.SCALE, context)
        metadata.match_url(body.SCALE, scale, request.namespace, request.name)
        return await self._change(request, context, lambda _: copy(scale), pinned=scale["metadata"].get("uid") or "")

    async def patch(self, request: Request) -> Answer:
        applying = media_type(request) == APPLY_YAML
        context = write_context(request, "PatchOptions", applying)
        patch = await self._patcher.read(request, body.SCALE, context)
        return await self._change(request, context, patch.apply, applying)

    async def _change(
        self,
        request: Request,
        context: Context,
        wanted: Callable[[Obj], Obj],
        applying: bool = False,
        pinned: str = "",
    ) -> Answer:
        """Write what wanted() makes of the Scale; who owns replicas is settled there and carried to the workload.

        pinned: the uid that the workload must have before anything else is looked at.
        """
        kind = request.served
        context.settled = True

        def change(obj: Obj) -> Obj:
            if pinned and pinned != (stored := obj["metadata"]["uid"]):
                row = self._registry.catalog.of(kind)
                raise unlike(row, request.namespace, request.name, pinned, stored, dry_run=context.dry_run)
            before = _with_owners(scale_of(obj), to_scale(obj["metadata"].get("managedFields")))
            after = wanted(copy(before))
            metadata.match_url(body.SCALE, after, request.namespace, request.name)
            if not applying:
                _track(before, after, context)
            owners = to_parent(
                obj["metadata"].get("managedFields"), after["metadata"].get("managedFields"), kind.api_version
            )
            return _with_owners(scaled(kind, obj, after), owners)

        entry = await self._registry.change_entry(kind, request.namespace, request.name, change, context, "scale")
        return Answer(200, scale_of(entry.obj))


def _track(before: Obj, after: Obj, context: Context) -> None:
    node = Schema.load().node(body.SCALE.api_version, body.SCALE.kind)
    assert node is not None
    entries = track_update(before, after, manager=context.manager, node=node, now=now(), subresource="scale")
    _with_owners(after, entries)


def _with_owners(obj: Obj, entries: list[Obj]) -> Obj:
    """The object, changed in place."""
    obj["metadata"].pop("managedFields", None)
    if entries:
        obj["metadata"]["managedFields"] = entries
    return obj


def scale_of(obj: Obj) -> Obj:
    """The Scale of a workload."""
    replicas = (obj.get("spec") or {}).get("replicas", 0)
    picked = (obj.get("spec") or {}).get("selector")
    plain = obj.get("kind") == "ReplicationController"
    status: Obj = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
    if selector := texts.selector({"matchLabels": picked} if plain else picked):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in KEPT if key in obj["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def scaled(kind: Kind, obj: Obj, scale: Obj) -> Obj:
    """The workload with the Scale's replicas, pinned to its resourceVersion when it has one.

    Raises Invalid, and Conflict for another workload's uid.
    """
    given, stored = scale["metadata"], obj["metadata"]
    wanted = (scale.get("spec") or {}).get("replicas") or 0
    named = {key: stored[key] for key in ("name", "namespace") if key in stored}
    problems = metadata_rules.validate({"metadata": {**named, **given}}, True, formats.dns1123_subdomain)
    if wanted < 0:
        problems.append(errors.invalid("spec.replicas", wanted, NOT_NEGATIVE))
    if problems:
        raise errors.invalid_object("Scale", stored["name"], problems, "autoscaling")
    if given.get("uid") and given["uid"] != stored["uid"]:
        why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {stored['uid']}"
        raise errors.conflict(f"{kind.plural}/scale", stored["name"], why, kind.group)
    obj["spec"]["replicas"] = wanted
    stored.pop("resourceVersion", None)
    if given.get("resourceVersion"):
        stored["resourceVersion"] = given["resourceVersion"]
    return obj

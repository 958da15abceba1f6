"""NAME/scale: the replica count of a workload, seen as an autoscaling/v1 Scale whatever the workload is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from apimachinery import errors, formats
from apimachinery.apply import to_parent, to_scale, track_update
from apimachinery.apply.scale import PLACE
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, copy
from apimachinery.schema import Schema
from apimachinery.timestamps import now
from controlplane.apiserver import body
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.catalog.custom import ScalePaths
from controlplane.apiserver.formats.media import APPLY_YAML
from controlplane.apiserver.options import write_context
from controlplane.apiserver.patching import Patcher, media_type
from controlplane.apiserver.registry import Context, metadata
from controlplane.apiserver.registry.conflicts import unlike
from controlplane.apiserver.request import Answer, Request
from controlplane.apiserver.rules import metadata as metadata_rules
from controlplane.apiserver.rules.values import NOT_NEGATIVE
from controlplane.apiserver.tables import texts

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

# Replicas of a custom resource that has none, while somebody says how many it is to have.
_UNSET = -(2**31)
KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class Scales:
    """Handlers of get, update and patch on NAME/scale of every kind that has one."""

    def __init__(self, registry: Registry, patcher: Patcher) -> None:
        self._registry = registry
        self._patcher = patcher

    async def get(self, request: Request) -> Answer:
        kind = request.served
        paths = paths_of(request.catalog, kind)
        obj = await self._registry.read(kind, request.space, request.name)
        if paths is not None and _inside(obj, paths.replicas) is None:
            text = f'the spec replicas field ".{".".join(paths.replicas)}" does not exist'
            raise errors.InternalError(f"Internal error occurred: {text}", details={"causes": [{"message": text}]})
        return Answer(200, scale_of(obj, paths))

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
        paths = paths_of(request.catalog, kind)
        place = PLACE if paths is None else paths.replicas
        context.settled = True

        def change(obj: Obj) -> Obj:
            if pinned and pinned != (stored := obj["metadata"]["uid"]):
                row = self._registry.catalog.of(kind)
                raise unlike(row, request.namespace, request.name, pinned, stored, dry_run=context.dry_run)
            before = _with_owners(scale_of(obj, paths), to_scale(obj["metadata"].get("managedFields"), place))
            unset = paths is not None and _inside(obj, paths.replicas) is None
            if unset:
                before["spec"]["replicas"] = _UNSET
            after = wanted(copy(before))
            if unset and (after.get("spec") or {}).get("replicas") == _UNSET:
                raise errors.BadRequest(f'the spec replicas field ".{".".join(place)}" cannot be empty')
            metadata.match_url(body.SCALE, after, request.namespace, request.name)
            if not applying:
                _track(before, after, context)
            entries, now_owned = obj["metadata"].get("managedFields"), after["metadata"].get("managedFields")
            owners = to_parent(entries, now_owned, kind.api_version, place)
            return _with_owners(scaled(kind, obj, after, paths), owners)

        entry = await self._registry.change_entry(kind, request.space, request.name, change, context, "scale")
        return Answer(200, scale_of(entry.obj, paths))


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


def paths_of(catalog: Catalog, kind: Kind) -> ScalePaths | None:
    """Where a custom resource has the parts of its Scale; None for what is built in."""
    custom = catalog.custom(kind)
    return custom.scale if custom is not None else None


def _inside(obj: Obj, path: Sequence[str]) -> Any:
    found: Any = obj
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _custom_scale(obj: Obj, paths: ScalePaths) -> tuple[int, Obj]:
    """Its replicas, and the status of its Scale."""
    status: Obj = {"replicas": _inside(obj, paths.current) or 0}
    if selector := _inside(obj, paths.selector) if paths.selector else "":
        status["selector"] = selector
    return _inside(obj, paths.replicas) or 0, status


def scale_of(obj: Obj, paths: ScalePaths | None = None) -> Obj:
    """The Scale of a workload, or of a custom resource with these paths."""
    replicas, status = _workload_scale(obj) if paths is None else _custom_scale(obj, paths)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in KEPT if key in obj["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _workload_scale(obj: Obj) -> tuple[int, Obj]:
    replicas = (obj.get("spec") or {}).get("replicas", 0)
    picked = (obj.get("spec") or {}).get("selector")
    plain = obj.get("kind") == "ReplicationController"
    status: Obj = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
    if selector := texts.selector({"matchLabels": picked} if plain else picked):
        status["selector"] = selector
    return replicas, status


def scaled(kind: Kind, obj: Obj, scale: Obj, paths: ScalePaths | None = None) -> Obj:
    """The workload with the Scale's replicas, pinned to its resourceVersion when it has one.

    Raises Invalid, and Conflict for another workload's uid.
    """
    given, stored = scale["metadata"], obj["metadata"]
    wanted = (scale.get("spec") or {}).get("replicas") or 0
    named = {key: stored[key] for key in ("name", "namespace") if key in stored}
    problems = metadata_rules.validate({"metadata": {**named, **given}}, True, formats.dns1123_subdomain)
    if wanted < 0:
        problems.append(errors.invalid("spec.replicas", wanted, NOT_NEGATIVE))
    # Of a custom resource what it makes of it is judged alone.
    if problems and paths is None:
        raise errors.invalid_object("Scale", stored["name"], problems, "autoscaling")
    if given.get("uid") and given["uid"] != stored["uid"]:
        why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {stored['uid']}"
        raise errors.conflict(f"{kind.plural}/scale", stored["name"], why, kind.group)
    place = PLACE if paths is None else paths.replicas
    holder = obj
    for name in place[:-1]:
        holder = holder.setdefault(name, {})
    holder[place[-1]] = wanted
    stored.pop("resourceVersion", None)
    if given.get("resourceVersion"):
        stored["resourceVersion"] = given["resourceVersion"]
    return obj

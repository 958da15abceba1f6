"""NAME/scale: the replica count of a workload, seen as an autoscaling/v1 Scale whatever the workload is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.objects import Obj, copy
from controlplane.apiserver.patching import Patcher
from controlplane.apiserver.registry import Context
from controlplane.apiserver.request import Answer, Request
from controlplane.apiserver.subresources import body
from controlplane.apiserver.tables import texts
from controlplane.apiserver.writing import manager_of

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
        scale = await body.read(request, body.SCALE)
        given = scale["metadata"].get("name")
        if given not in (None, "", request.name):
            text = f"the name of the object ({given}) does not match the name on the URL ({request.name})"
            raise errors.BadRequest(text)

        def change(obj: Obj) -> Obj:
            return scaled(obj, scale, request.name)

        return await self._change(request, change)

    async def patch(self, request: Request) -> Answer:
        context = Context(user=request.user, manager=manager_of(request))
        patch = await self._patcher.read(request, body.SCALE, context)

        def change(obj: Obj) -> Obj:
            before = scale_of(obj)
            after = patch.apply(copy(before))
            if after["metadata"].get("resourceVersion") == before["metadata"].get("resourceVersion"):
                after["metadata"].pop("resourceVersion", None)
            return scaled(obj, after, request.name)

        return await self._change(request, change)

    async def _change(self, request: Request, change: Callable[[Obj], Obj]) -> Answer:
        assert request.kind is not None
        obj = await self._registry.mutate(
            request.kind,
            request.namespace,
            request.name,
            change,
            subresource="scale",
            user=request.user,
            dry_run=body.is_dry_run(request),
        )
        return Answer(200, scale_of(obj))


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


def scaled(obj: Obj, scale: Obj, name: str) -> Obj:
    """The workload with the Scale's replicas, pinned to its resourceVersion when it has one.

    Raises Invalid.
    """
    wanted = (scale.get("spec") or {}).get("replicas") or 0
    if not isinstance(wanted, int) or wanted < 0:
        problem = errors.invalid("spec.replicas", wanted, "must be greater than or equal to 0")
        raise errors.invalid_object("Scale", name, [problem], "autoscaling")
    obj["spec"]["replicas"] = wanted
    given = scale.get("metadata") or {}
    for key in ("resourceVersion", "uid"):
        if given.get(key):
            obj["metadata"][key] = given[key]
    if not given.get("resourceVersion"):
        obj["metadata"].pop("resourceVersion", None)
    return obj

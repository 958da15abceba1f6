"""pods/NAME/binding: the scheduler's word that a pod belongs to a node. Set once, atomically."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import BINDING, POD
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now
from controlplane.apiserver import body
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.registry.conflicts import unlike
from controlplane.apiserver.request import Answer, Request
from controlplane.apiserver.reviewing import admitted

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry


class Bindings:
    """Handlers of pods/NAME/binding and of the older collection `bindings`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def of_pod(self, request: Request) -> Answer:
        binding = await self._asked(request)
        if binding["metadata"].get("name") != request.name:
            raise errors.BadRequest("name in URL does not match name in Binding object")
        return await self._bind(request, request.name, binding)

    async def collection(self, request: Request) -> Answer:
        binding = await self._asked(request)
        # As of anything that is made, the UID is not the maker's to say.
        binding["metadata"].pop("uid", None)
        return await self._bind(request, binding["metadata"].get("name", ""), binding)

    async def _asked(self, request: Request) -> Obj:
        return await admitted(request, BINDING, self._registry.admit_part, (POD, "binding"))

    async def _bind(self, request: Request, name: str, binding: Obj) -> Answer:
        dry_run = body.is_dry_run(request)
        check(binding)
        stamp = format_time(now())

        def change(pod: Obj) -> Obj:
            return bound(pod, binding, stamp)

        await self._registry.mutate(
            POD,
            request.namespace,
            name,
            change,
            subresource="binding",
            user=request.user,
            dry_run=dry_run,
            admitted=True,
        )
        return body.success()


def check(binding: Obj) -> None:
    """Raises InternalError (as upstream, whose validation error has no better code here) for a bad target."""
    target = binding.get("target") or {}
    problems = []
    if target.get("kind") not in (None, "", "Node"):
        problems.append(errors.not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        problems.append(errors.required("target.name"))
    if problems:
        found = [str(problem) for problem in problems]
        raise errors.InternalError(found[0] if len(found) == 1 else f"[{', '.join(found)}]", reason="")


def bound(pod: Obj, binding: Obj, stamp: str) -> Obj:
    """The pod after the binding.

    Raises Conflict when it is bound, dying, gated or another pod of the name.
    """
    name, spec, metadata = pod["metadata"]["name"], pod["spec"], pod["metadata"]
    given = binding["metadata"]
    if given.get("uid") and given["uid"] != metadata["uid"]:
        raise unlike(Resource(POD), metadata["namespace"], name, given["uid"], metadata["uid"])
    wanted, there = given.get("resourceVersion"), metadata.pop("resourceVersion", None)
    if wanted and wanted != there:
        raise unlike(Resource(POD), metadata["namespace"], name, wanted, there, "ResourceVersion")
    why = ""
    if metadata.get("deletionTimestamp"):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise errors.conflict("pods/binding", name, why)
    spec["nodeName"] = binding["target"]["name"]
    # What the scheduler had in mind before means nothing any more.
    pod.setdefault("status", {}).pop("nominatedNodeName", None)
    for key in ("annotations", "labels"):
        if given.get(key):
            metadata[key] = {**(metadata.get(key) or {}), **given[key]}
    _scheduled(pod["status"], stamp)
    return pod


def _scheduled(status: Obj, stamp: str) -> None:
    conditions = status.setdefault("conditions", [])
    done = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": stamp}
    for index, condition in enumerate(conditions):
        if condition.get("type") == "PodScheduled":
            conditions[index] = done
            return
    conditions.append(done)

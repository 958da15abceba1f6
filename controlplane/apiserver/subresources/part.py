"""Subresources that change one part of an object and leave the rest alone: ephemeralcontainers, resize,
approval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST, POD, Kind
from apimachinery.objects import Obj, copy
from controlplane.apiserver import body
from controlplane.apiserver.formats.media import APPLY_YAML
from controlplane.apiserver.options import write_context
from controlplane.apiserver.ownership import track
from controlplane.apiserver.patching import Patcher, media_type
from controlplane.apiserver.registry import Context, metadata
from controlplane.apiserver.request import Answer, Request
from controlplane.apiserver.strategies.certificates import date_conditions

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

# (private copy of the stored object, what the client wants) -> the stored object with the part taken over
Merge = Callable[[Obj, Obj], Obj]


@dataclass(frozen=True)
class Part:
    kind: Kind
    name: str
    merge: Merge


class PartHandlers:
    """get, update and patch of one part."""

    def __init__(self, registry: Registry, patcher: Patcher, part: Part) -> None:
        self._registry = registry
        self._patcher = patcher
        self._part = part

    async def get(self, request: Request) -> Answer:
        kind = self._part.kind
        return Answer(200, self._registry.get(kind, self._namespace(request), request.name), kind)

    async def update(self, request: Request) -> Answer:
        context = write_context(request, "UpdateOptions")
        wanted = await body.read(request, self._part.kind, context)
        metadata.match_url(self._part.kind, wanted, self._namespace(request), request.name)

        def change(old: Obj) -> Obj:
            asked = copy(wanted)
            self._own(old, asked, context)
            return _pinned(_owned(self._part.merge(old, asked), asked, context), wanted)

        return await self._change(request, context, change)

    async def patch(self, request: Request) -> Answer:
        applied = media_type(request) == APPLY_YAML
        context = write_context(request, "PatchOptions", applied)
        patch = await self._patcher.read(request, self._part.kind, context)

        def change(old: Obj) -> Obj:
            wanted = patch.apply(copy(old))
            metadata.match_url(self._part.kind, wanted, self._namespace(request), request.name)
            if not applied:
                self._own(old, wanted, context)
            return _owned(self._part.merge(old, wanted), wanted, context)

        return await self._change(request, context, change)

    def _own(self, old: Obj, wanted: Obj, context: Context) -> None:
        """Write down whose is what. Of a pod upstream counts all that was written, also what then stays as it was."""
        if self._part.kind is POD:
            metadata.fill_changed(POD, wanted, old)
            self._registry.strategy(POD).default(wanted)
            track(old, wanted, context, self._part.name)
            context.settled = True

    async def _change(self, request: Request, context: Context, change: Callable[[Obj], Obj]) -> Answer:
        entry = await self._registry.change_entry(
            self._part.kind, self._namespace(request), request.name, change, context, self._part.name
        )
        return Answer(200, entry.obj, self._part.kind)

    def _namespace(self, request: Request) -> str:
        return request.namespace if self._part.kind.namespaced else ""


def _owned(obj: Obj, wanted: Obj, context: Context) -> Obj:
    """What has been settled of who owns what is taken over with the part."""
    if context.settled:
        obj["metadata"]["managedFields"] = wanted["metadata"].get("managedFields", [])
    return obj


def _pinned(obj: Obj, wanted: Obj) -> Obj:
    """Hold the write to the resourceVersion the client saw, when it says one."""
    version = (wanted.get("metadata") or {}).get("resourceVersion")
    if version:
        obj["metadata"]["resourceVersion"] = version
    return obj


def ephemeral_containers(old: Obj, wanted: Obj) -> Obj:
    """The pod's ephemeral containers (KEP-277); everything else of it stays. What may change is for the rules."""
    return _taken(old, wanted, "ephemeralContainers")


def resources(old: Obj, wanted: Obj) -> Obj:
    """The resources of containers and of the pod (KEP-1287); everything else of it stays.

    Containers that are others than before are handed on as they are, for the rules to refuse.
    """
    for field in ("containers", "initContainers"):
        asked, stored = (wanted.get("spec") or {}).get(field) or [], old["spec"].get(field) or []
        if [c.get("name") for c in asked] != [c.get("name") for c in stored]:
            _taken(old, wanted, field)
            continue
        for container, found in zip(stored, asked, strict=True):
            for key in ("resources", "resizePolicy"):
                container.pop(key, None)
                if key in found:
                    container[key] = found[key]
    return _taken(old, wanted, "resources")


def _taken(old: Obj, wanted: Obj, field: str) -> Obj:
    old["spec"].pop(field, None)
    if (wanted.get("spec") or {}).get(field):
        old["spec"][field] = wanted["spec"][field]
    return old


def approval(old: Obj, wanted: Obj) -> Obj:
    """The verdict on a certificate signing request: its conditions, and what the client says in its metadata."""
    new = {**old, "metadata": wanted["metadata"], "status": {**(old.get("status") or {})}}
    new["status"]["conditions"] = (wanted.get("status") or {}).get("conditions") or []
    date_conditions(new, old)
    return new


PARTS = (
    Part(POD, "ephemeralcontainers", ephemeral_containers),
    Part(POD, "resize", resources),
    Part(CERTIFICATE_SIGNING_REQUEST, "approval", approval),
)

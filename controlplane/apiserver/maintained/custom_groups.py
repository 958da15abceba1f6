"""An APIService for each group version of a custom resource, kept for as long as there is one.

What others make of an APIService (one without our label, with a Service of its own) is theirs.
"""

from __future__ import annotations

import logging

from apimachinery import errors
from apimachinery.kinds import API_SERVICE, CUSTOM_RESOURCE_DEFINITION
from apimachinery.objects import Obj
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver import places
from controlplane.apiserver.maintained.aggregation import KEPT
from controlplane.apiserver.maintained.keeping import SELF
from controlplane.apiserver.registry import Registry

log = logging.getLogger(__name__)

_ALWAYS = {KEPT: "true"}


def served(definition: Obj | None) -> set[tuple[str, str]]:
    """The (group, version) pairs in which a CustomResourceDefinition serves something."""
    spec = (definition or {}).get("spec") or {}
    group = spec.get("group") or ""
    return {(group, one.get("name") or "") for one in spec.get("versions") or () if one.get("served")}


def wanted(group: str, version: str) -> Obj:
    """The APIService of a group version of custom resources."""
    place, version_place = places.CUSTOM
    return {
        "kind": API_SERVICE.kind,
        "apiVersion": API_SERVICE.api_version,
        "metadata": {"name": f"{version}.{group}", "labels": _ALWAYS},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": place,
            "versionPriority": version_place,
        },
    }


def is_ours(api_service: Obj) -> bool:
    """Whether it was made here, and nobody has taken it over."""
    return bool((api_service["metadata"].get("labels") or {}).get(KEPT) == _ALWAYS[KEPT])


class CustomGroups:
    """Makes, mends and removes the APIServices."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue("groups of custom resources", backoff_max=60.0)
        # Group version -> the definitions that serve something in it. Those can be large and many: none is read for it.
        self._servers: dict[tuple[str, str], set[str]] = {}

    async def run(self) -> None:
        """For ever."""
        self._registry.subscribe(CUSTOM_RESOURCE_DEFINITION, self._definition_changed)
        self._registry.subscribe(API_SERVICE, self._api_service_changed)
        await self._queue.run_workers(1, self._sync)

    def _definition_changed(self, old: Obj | None, new: Obj | None) -> None:
        name, before, after = ((new or old) or {})["metadata"]["name"], served(old), served(new)
        for key in before - after:
            self._servers.get(key, set()).discard(name)
            if not self._servers.get(key):
                self._servers.pop(key, None)
        for key in after:
            self._servers.setdefault(key, set()).add(name)
        for key in before | after:
            self._queue.add(key)

    def _api_service_changed(self, old: Obj | None, new: Obj | None) -> None:
        version, _, group = ((new or old) or {})["metadata"]["name"].partition(".")
        if places.built_in(group, version) is None:
            self._queue.add((group, version))

    async def _sync(self, key: tuple[str, str]) -> None:
        group, version = key
        if places.built_in(group, version) is not None:
            # Made at the start, whoever adds a kind to it.
            return
        there = key in self._servers
        should = wanted(group, version)
        name = should["metadata"]["name"]
        found = self._registry.find(API_SERVICE, "", name)
        try:
            if found is None:
                if there:
                    await self._registry.create(API_SERVICE, should, user=SELF)
            elif not is_ours(found):
                return
            elif not there:
                options = {"preconditions": {"uid": found["metadata"]["uid"]}}
                await self._registry.delete(API_SERVICE, "", name, user=SELF, options=options)
            elif found["spec"] != should["spec"]:
                change = {"spec": should["spec"]}
                await self._registry.mutate(API_SERVICE, "", name, lambda one: {**one, **change}, user=SELF)
        except (errors.AlreadyExists, errors.NotFound, errors.Conflict) as error:
            # Somebody else was faster, which is heard of.
            log.debug("APIService %s: %s", name, error.message)

"""The loop that gives definitions their names, and says in their conditions what they are served by."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import CUSTOM_RESOURCE_DEFINITION as DEFINITION
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.custom.definitions import Definitions
from controlplane.apiserver.custom.naming import judged
from controlplane.apiserver.maintained.keeping import SELF
from controlplane.apiserver.registry import Registry


class Statuses:
    """One worker: who of two gets a name is decided one after the other."""

    def __init__(self, registry: Registry, definitions: Definitions) -> None:
        self._registry = registry
        self._definitions = definitions
        self._queue: WorkQueue[str] = WorkQueue("crd_naming_condition_controller")
        definitions.follow(self._changed)

    async def run(self) -> None:
        """For ever."""
        for one in self._registry.items(DEFINITION):
            self._queue.add(one["metadata"]["name"])
        await self._queue.run_workers(1, self._mend)

    def _changed(self, name: str, group: str) -> None:
        """A name may be free, or taken, for all of its group."""
        self._queue.add(name)
        for other in self._definitions.of_group(group):
            self._queue.add(other["metadata"]["name"])

    async def _mend(self, name: str) -> None:
        # Who is told that it is established finds it served.
        await self._definitions.made(name)
        found = self._registry.find(DEFINITION, "", name)
        if found is None or self._judged(found) == (found.get("status") or {}):
            return

        def change(old: Obj) -> Obj:
            return {**old, "status": self._judged(old)}

        try:
            await self._registry.mutate(DEFINITION, "", name, change, subresource="status", user=SELF)
        except errors.NotFound:
            return

    def _judged(self, definition: Obj) -> Obj:
        group, name = definition["spec"]["group"], definition["metadata"]["name"]
        others = (one for one in self._definitions.of_group(group) if one["metadata"]["name"] != name)
        return judged(definition, others, format_time(now()))

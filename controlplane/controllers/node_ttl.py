"""How long nodes may use what they read before: an annotation on each Node that grows with the cluster, so that many
nodes do not ask for the same Secrets and ConfigMaps all the time. Nodes that watch them have no need of it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from apimachinery import errors, objects
from apimachinery.kinds import NODE
from apimachinery.objects import Obj, name
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import names
from controlplane.controllers.context import Context, synced


@dataclass(frozen=True)
class Step:
    """Cluster sizes, in nodes, for which one time holds."""

    least: int
    most: float
    seconds: int


# Upstream's. They overlap, so that a node that comes and goes does not change all the others each time.
STEPS = (
    Step(0, 100, 0),
    Step(90, 500, 15),
    Step(450, 1000, 30),
    Step(900, 2000, 60),
    Step(1800, float("inf"), 300),
)


def step_for(nodes: int, before: int) -> int:
    """The index of the step for so many nodes, where `before` was the last one."""
    step = before
    while nodes > STEPS[step].most:
        step += 1
    while nodes < STEPS[step].least:
        step -= 1
    return step


class NodeTTLController:
    """The loop. Which step was the last is not known to a new process: it begins with the lowest, as upstream's."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._nodes = context.informers.of(NODE)
        self._queue: WorkQueue[str] = WorkQueue("node ttl", backoff_max=60.0)
        self._step = 0
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        await synced(self._nodes)
        await self._queue.run_workers(1, self._sync)

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None:
            if objects.annotations(old).get(names.NODE_TTL) != objects.annotations(new).get(names.NODE_TTL):
                self._queue.add(name(new))
            return
        step = step_for(self._nodes.size, self._step)
        if step != self._step:
            self._step = step
            for node in self._nodes.items():
                self._queue.add(name(node))
        elif new is not None:
            self._queue.add(name(new))

    async def _sync(self, item: str) -> None:
        node, wanted = self._nodes.get(item), str(STEPS[self._step].seconds)
        if node is None or objects.annotations(node).get(names.NODE_TTL) == wanted:
            return
        with contextlib.suppress(errors.NotFound):
            await self._client.patch(NODE, item, {"metadata": {"annotations": {names.NODE_TTL: wanted}}})

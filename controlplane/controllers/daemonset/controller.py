"""Keeps each DaemonSet's pods on its nodes."""

from __future__ import annotations

import asyncio
import time

from apimachinery.informer import Informer
from apimachinery.kinds import CONTROLLER_REVISION, DAEMON_SET, NODE
from apimachinery.objects import Obj, is_deleting, key, labels, name, uid
from apimachinery.timestamps import now
from controlplane.controllers import ownership, pod_status, revision_store
from controlplane.controllers.context import Context, generated_name
from controlplane.controllers.daemonset import backoff, placing, revisions
from controlplane.controllers.daemonset import plan as planning
from controlplane.controllers.owner_loop import OwnerLoop
from controlplane.controllers.pod_control import from_template
from controlplane.controllers.replicaset.plan import BURST, Failure, batches
from controlplane.controllers.replicaset.plan import view as pod_view

_ENDED = {
    "Failed": ("Warning", "FailedDaemonPod", "Found failed daemon pod {} on node {}, will try to kill it"),
    "Succeeded": ("Normal", "SucceededDaemonPod", "Found succeeded daemon pod {} on node {}, will try to delete it"),
}


class DaemonSetController(OwnerLoop):
    """The loop."""

    kind = DAEMON_SET
    backoff_max = 60.0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._nodes = context.informers.of(NODE)
        self._revisions = context.informers.of(CONTROLLER_REVISION)
        ownership.index_by_owner(self._revisions)
        self._nodes.add_handler(self._on_node)
        # By DaemonSet (uid) and its generation, then by node.
        self._pauses: dict[tuple[str, int], dict[str, backoff.Pause]] = {}

    def informers(self) -> tuple[Informer, ...]:
        return (*super().informers(), self._nodes, self._revisions)

    def is_manageable(self, owner: Obj) -> bool:
        """One that would take every pod takes none, and says so."""
        if owner["spec"].get("selector"):
            return True
        text = "This daemon set is selecting all pods. A non-empty selector is required."
        self._context.recorder.event(owner, "Warning", "SelectingAll", text)
        return False

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and _placing(old) == _placing(new):
            return
        for daemon_set in self._owners.items():
            self._queue.add(key(daemon_set))

    async def sync(self, item: str, owner: Obj, pods: list[Obj], settled: bool) -> None:
        if is_deleting(owner):
            return
        used = frozenset(labels(pod).get(placing.REVISION_HASH, "") for pod in pods)
        history = revisions.plan(owner, self._revisions.by_index(ownership.CONTROLLER, uid(owner)), used)
        if not await self._keep_history(owner, history):
            return
        pauses, moment = self._pauses_of(owner), time.monotonic()
        holds = {node: pause.left(moment) for node, pause in pauses.items()}
        todo = planning.plan(owner, pods, self._nodes.items(), history.digest, now(), holds)
        if settled:
            self._tell(owner, todo, pauses)
            await self._carry_out(owner, todo, history.digest)
        if todo.again_in is not None:
            self._queue.add_after(item, todo.again_in)
        await self._write_status(owner, todo.status)

    def _pauses_of(self, owner: Obj) -> dict[str, backoff.Pause]:
        """Those of the present generation: what fails by an earlier template says nothing about this one."""
        place = (uid(owner), int(owner["metadata"].get("generation") or 0))
        if place not in self._pauses:
            here = {uid(each) for each in self._owners.items()}
            self._pauses = {k: v for k, v in self._pauses.items() if k[0] in here and k[0] != place[0]}
            self._pauses[place] = {}
        return self._pauses[place]

    def _tell(self, owner: Obj, todo: planning.Plan, pauses: dict[str, backoff.Pause]) -> None:
        for pod in todo.ended:
            node, phase = placing.target(pod), pod_status.phase(pod)
            kind, reason, text = _ENDED[phase]
            self._context.recorder.event(owner, kind, reason, text.format(key(pod), node))
            if phase == "Failed":
                pauses[node] = backoff.after(pauses.get(node), time.monotonic())

    async def _carry_out(self, owner: Obj, todo: planning.Plan, digest: str) -> None:
        if todo.delete:
            await self._control.delete(owner, tuple(pod_view(pod) for pod in todo.delete[:BURST]))
        missing = list(todo.create[:BURST])
        for size in batches(len(missing)):
            batch, missing = missing[:size], missing[size:]
            results = await asyncio.gather(*(self._create(owner, node, digest) for node in batch))
            failure = next((f for f in results if f is not None and f.reason), None)
            if failure is not None:
                raise RuntimeError(f"{failure.reason}: {failure.message}")

    async def _create(self, owner: Obj, node: str, digest: str) -> Failure | None:
        base = name(owner) + "-"
        template = placing.pod_template(owner, node, digest)
        pod = from_template(owner, template, generated_name(base), base)
        return await self._control.create_one(owner, pod)

    async def _keep_history(self, owner: Obj, history: revisions.History) -> bool:
        """Write the present revision; False when its name belongs to another template."""

        def is_wanted(stored: Obj) -> bool:
            return revisions.plan(owner, [stored], frozenset()).create is None

        if await revision_store.keep(self._context.client, history, is_wanted):
            return True
        status = dict(owner.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        await self._write_status(owner, status)
        return False


def _placing(node: Obj) -> tuple[object, ...]:
    """What of a node decides whether daemons run there."""
    spec = node.get("spec") or {}
    return labels(node), spec.get("taints"), spec.get("unschedulable"), uid(node)

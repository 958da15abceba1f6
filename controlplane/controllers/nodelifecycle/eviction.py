"""Deletes pods from nodes with NoExecute taints that they do not tolerate, or no longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apimachinery.kinds import NODE, POD
from apimachinery.objects import Obj, is_deleting, key, name, uid
from apimachinery.pods import placement
from apimachinery.timestamps import now, parse_time
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced
from controlplane.controllers.ending import end
from controlplane.controllers.nodelifecycle.controller import BY_NODE, node_of


def evict_at(pod: Obj, taints: Sequence[Obj], begun: datetime) -> datetime | None:
    """When the pod must go for the node's NoExecute taints; None for never. `begun`: since when it lives with them.

    As upstream: of each taint the first toleration that covers it counts, and the shortest of these, from when the
    taint was added (where nothing says when: from `begun`); a taint that none covers allows no time at all.
    """
    given = (pod.get("spec") or {}).get("tolerations") or ()
    covers = placement.tolerations(pod.get("spec") or {})
    moments = []
    for taint in taints:
        if taint.get("effect") != "NoExecute":
            continue
        (wanted,) = placement.taints({"spec": {"taints": [taint]}})
        used = next((t for t, cover in zip(given, covers, strict=True) if cover.tolerates(wanted)), None)
        if used is None:
            return begun
        if used.get("tolerationSeconds") is not None:
            added = parse_time(taint["timeAdded"]) if taint.get("timeAdded") else begun
            moments.append(added + timedelta(seconds=max(int(used["tolerationSeconds"]), 0)))
    return min(moments, default=None)


@dataclass(frozen=True)
class _Planned:
    """An eviction that waits for its time: of which pod (uid), and since when its node is tainted so."""

    pod: str
    begun: datetime


class TaintEvictionController:
    """The loop; keys are pods."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nodes = context.informers.of(NODE)
        self._pods = context.informers.of(POD)
        self._queue: WorkQueue[str] = WorkQueue("tainteviction", backoff_max=30.0)
        self._planned: dict[str, _Planned] = {}
        self._pods.add_index(BY_NODE, node_of)
        self._nodes.add_handler(self._on_node)
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        await synced(self._nodes, self._pods)
        await self._queue.run_workers(self._context.settings.workers, self._sync)

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and _taints(old) != _taints(new):
            for pod in self._pods.by_index(BY_NODE, name(new)):
                self._queue.add(key(pod))

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or old is None or _placed(old) != _placed(new):
            self._queue.add(key(new or old or {}))

    async def _sync(self, item: str) -> None:
        pod = self._pods.get(item)
        if pod is None or is_deleting(pod):
            self._planned.pop(item, None)
            return
        node = self._nodes.get((pod.get("spec") or {}).get("nodeName") or "")
        planned, moment = self._planned.get(item), now()
        if planned is not None and planned.pod != uid(pod):
            planned = None
        begun = planned.begun if planned else moment
        due = evict_at(pod, _taints(node), begun) if node is not None else None
        if due is None:
            if self._planned.pop(item, None) is not None and planned is not None:
                self._say(pod, f"Cancelling deletion of Pod {item}")
            return
        if due > moment:
            self._planned[item] = planned or _Planned(uid(pod), moment)
            self._queue.add_after(item, (due - moment).total_seconds())
            return
        await self._evict(pod)
        self._planned.pop(item, None)

    def _say(self, pod: Obj, text: str) -> None:
        self._context.recorder.event(pod, "Normal", "TaintManagerEviction", text)

    async def _evict(self, pod: Obj) -> None:
        self._say(pod, f"Marking for deletion Pod {key(pod)}")
        message = "Taint manager: deleting due to NoExecute taint"
        await end(self._context.client, pod, "DeletionByTaintManager", message)


def _placed(pod: Obj) -> tuple[object, object]:
    spec = pod.get("spec") or {}
    return spec.get("nodeName"), spec.get("tolerations")


def _taints(node: Obj | None) -> list[Obj]:
    listed = ((node or {}).get("spec") or {}).get("taints") or ()
    return [t for t in listed if t.get("effect") == "NoExecute"]

"""Deletes pods from nodes with NoExecute taints that they do not tolerate, or no longer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import NODE, POD
from apimachinery.objects import Obj, is_deleting, key, name, namespace, uid
from apimachinery.timestamps import format_time, now, parse_time
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced
from controlplane.controllers.nodelifecycle.controller import BY_NODE, node_of

log = logging.getLogger(__name__)


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Whether a v1 Toleration covers a v1 Taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def evict_at(pod: Obj, taints: Sequence[Obj], now: datetime) -> datetime | None:
    """When the pod must go for the node's NoExecute taints; None for never.

    The shortest tolerationSeconds among the tolerations in use counts, from the time the taint was added.
    """
    tolerations = (pod.get("spec") or {}).get("tolerations") or ()
    moments = []
    for taint in taints:
        if taint.get("effect") != "NoExecute":
            continue
        fitting = [t for t in tolerations if tolerates(t, taint)]
        if not fitting:
            return now
        limits = [int(t["tolerationSeconds"]) for t in fitting if t.get("tolerationSeconds") is not None]
        if limits:
            added = parse_time(taint["timeAdded"]) if taint.get("timeAdded") else now
            moments.append(added + timedelta(seconds=max(min(limits), 0)))
    return min(moments, default=None)


class TaintEvictionController:
    """The loop; keys are pods."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nodes = context.informers.of(NODE)
        self._pods = context.informers.of(POD)
        self._queue: WorkQueue[str] = WorkQueue("tainteviction", backoff_max=30.0)
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
        if new is not None and node_of(new) and (old is None or node_of(old) != node_of(new)):
            self._queue.add(key(new))

    async def _sync(self, item: str) -> None:
        pod = self._pods.get(item)
        if pod is None or is_deleting(pod):
            return
        node = self._nodes.get((pod.get("spec") or {}).get("nodeName") or "")
        moment = now()
        due = evict_at(pod, _taints(node), moment) if node is not None else None
        if due is None:
            return
        if due > moment:
            self._queue.add_after(item, (due - moment).total_seconds())
            return
        await self._evict(pod)

    async def _evict(self, pod: Obj) -> None:
        recorder, client = self._context.recorder, self._context.client
        recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key(pod)}")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": format_time(now()),
        }
        patch = {"metadata": {"uid": uid(pod)}, "status": {"conditions": [condition]}}
        try:
            await client.patch(
                POD, name(pod), patch, namespace(pod), subresource="status", patch_type=PatchType.STRATEGIC
            )
            await client.delete(POD, name(pod), namespace(pod), uid=uid(pod))
        except (errors.NotFound, errors.Conflict):
            # Gone, or another pod of the same name by now.
            return


def _taints(node: Obj | None) -> list[Obj]:
    listed = ((node or {}).get("spec") or {}).get("taints") or ()
    return [t for t in listed if t.get("effect") == "NoExecute"]

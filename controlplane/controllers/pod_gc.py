"""Removes pods that nobody else will: of nodes that are gone, unbound and on their way out, or finished too long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apimachinery import errors
from apimachinery.kinds import NODE, POD
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj, condition, is_deleting, key, name, uid
from controlplane.controllers import names, pod_status
from controlplane.controllers.context import Context, synced
from controlplane.controllers.ending import end

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Removal:
    """A pod to delete without grace. `message` and `reason` go into a DisruptionTarget condition, if any."""

    pod: Obj
    why: str
    reason: str = ""
    message: str = ""


def plan(pods: Sequence[Obj], nodes: Mapping[str, Obj], gone: frozenset[str], threshold: int) -> tuple[Removal, ...]:
    """`gone`: nodes that have been missing for longer than the quarantine."""
    removals: dict[str, Removal] = {}
    finished = [pod for pod in pods if pod_status.phase(pod) in pod_status.FINAL]
    surplus = len(finished) - threshold if threshold > 0 else 0
    if surplus > 0:
        oldest = sorted(finished, key=lambda p: p["metadata"].get("creationTimestamp") or "")
        removals.update((uid(pod), Removal(pod, "terminated")) for pod in oldest[:surplus])
    for pod in pods:
        node_name = (pod.get("spec") or {}).get("nodeName") or ""
        node = nodes.get(node_name)
        if not node_name and is_deleting(pod):
            removals[uid(pod)] = Removal(pod, "unscheduled")
        elif node_name in gone:
            text = "PodGC: node no longer exists"
            removals[uid(pod)] = Removal(pod, "orphaned", "DeletionByPodGC", text)
        elif node is not None and is_deleting(pod) and _is_out_of_service(node):
            removals[uid(pod)] = Removal(pod, "out-of-service", "DeletionByPodGC", "PodGC: node is out of service")
    return tuple(removals.values())


def _is_out_of_service(node: Obj) -> bool:
    ready = condition(node, "Ready")
    silent = ready is None or ready.get("status") != "True"
    return silent and any(t.get("key") == names.OUT_OF_SERVICE for t in (node.get("spec") or {}).get("taints") or ())


class PodGCController:
    """The loop: every period, and once a deleted node's quarantine is over."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pods = context.informers.of(POD)
        self._nodes = context.informers.of(NODE)
        self._missing: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._nodes.add_handler(self._on_node)
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        await synced(self._pods, self._nodes)
        while True:
            self._wake.clear()
            await self._pass()
            await is_set_within(self._wake, self._pause())

    def _pause(self) -> float:
        settings = self._context.settings
        waits = [since + settings.orphan_quarantine - time.monotonic() for since in self._missing.values()]
        return max(min([settings.pod_gc_period, *(w for w in waits if w > 0)]), 0.05)

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            self._wake.set()

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and is_deleting(new) and not (new.get("spec") or {}).get("nodeName"):
            self._wake.set()

    async def _pass(self) -> None:
        pods, nodes = self._pods.items(), {name(n): n for n in self._nodes.items()}
        moment = time.monotonic()
        used = {node for p in pods if (node := (p.get("spec") or {}).get("nodeName"))}
        self._missing = {node: self._missing.get(node, moment) for node in used - nodes.keys()}
        quarantine = self._context.settings.orphan_quarantine
        gone = set()
        for node, since in self._missing.items():
            if moment - since >= quarantine and await self._is_gone(node):
                gone.add(node)
        for removal in plan(pods, nodes, frozenset(gone), self._context.settings.terminated_pod_threshold):
            try:
                await self._remove(removal)
            except (errors.ApiError, errors.Unreachable) as error:
                log.warning("pod %s not removed: %s", key(removal.pod), error)

    async def _is_gone(self, node: str) -> bool:
        """Asked of the API server itself, for the cache of nodes may be the one that is behind."""
        try:
            await self._context.client.get(NODE, node)
        except errors.NotFound:
            return True
        except (errors.ApiError, errors.Unreachable):
            return False
        return False

    async def _remove(self, removal: Removal) -> None:
        pod = removal.pod
        log.info("removing %s pod %s", removal.why, key(pod))
        fails = pod_status.phase(pod) not in pod_status.FINAL and removal.why != "unscheduled"
        phase = "Failed" if fails else ""
        await end(self._context.client, pod, removal.reason, removal.message, phase=phase, grace_period=0)

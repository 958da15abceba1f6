"""A scheduler against an API server that is a dictionary with opinions: it refuses what a real one refuses, and breaks
where it is told to."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.informer import Informer
from apimachinery.kinds import NAMESPACE, NODE, POD, POD_DISRUPTION_BUDGET, Kind
from apimachinery.objects import Obj, copy, key
from apimachinery.pods.requests import pod_requests
from controlplane.scheduler import storage
from controlplane.scheduler.devices import holdings
from controlplane.scheduler.devices.holdings import InformedDevices
from controlplane.scheduler.extenders import Extender
from controlplane.scheduler.framework import Profile
from controlplane.scheduler.loop import Parts, Scheduler
from controlplane.scheduler.plugins import default_profile
from controlplane.scheduler.queue import Pauses
from controlplane.scheduler.storage import InformedStorage
from controlplane.scheduler.surroundings import InformedBudgets, Workloads

KINDS = (*storage.KINDS, *holdings.KINDS)


class Api:
    """What a Client would reach.

    `answers`: what becomes of the next bindings: ok, refused, lost (written, but no answer comes), silent (neither), or
    ended (the server is away from then on).
    """

    def __init__(self) -> None:
        self.informers = {kind: Informer(cast(Client, None), kind) for kind in (POD, NODE, NAMESPACE, *KINDS)}
        self.informers[POD_DISRUPTION_BUDGET] = Informer(cast(Client, None), POD_DISRUPTION_BUDGET)
        for informer in self.informers.values():
            informer._synced.set()
        self.pods: dict[str, Obj] = {}
        self.nodes: dict[str, Obj] = {}
        self.answers: deque[str] = deque()
        self.up = asyncio.Event()
        self.up.set()
        self.bound: Counter[str] = Counter()
        self.deleted: list[str] = []
        self.events: list[tuple[str, str, str]] = []
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    # What tests do.

    def node(self, name: str, cpu: str = "2", **labels: str) -> None:
        room = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        meta = {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}}
        self.nodes[name] = {"metadata": meta, "status": {"allocatable": room}}
        self.put(NODE, self.nodes[name])

    def remove_node(self, name: str) -> None:
        if self.nodes.pop(name, None) is not None:
            self.informers[NODE]._replace(name, None)

    def pod(self, name: str, cpu: str = "1", priority: int = 0, **spec: Any) -> None:
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
        meta = {"name": name, "namespace": "default", "uid": f"{name}-{next(self._uids)}"}
        body = {"metadata": meta, "spec": {"containers": [container], "priority": priority, **spec}}
        self.pods[f"default/{name}"] = {"apiVersion": "v1", "kind": "Pod", **body}
        self._tell(f"default/{name}")

    def remove_pod(self, name: str) -> None:
        if self.pods.pop(f"default/{name}", None) is not None:
            self.informers[POD]._replace(f"default/{name}", None)

    def put(self, kind: Kind, obj: Obj) -> None:
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        self.informers[kind]._replace(key(obj), copy(obj))

    def where(self) -> dict[str, str]:
        """Nodes by pod, of those that have one."""
        return {k.partition("/")[2]: p["spec"]["nodeName"] for k, p in self.pods.items() if p["spec"].get("nodeName")}

    def _tell(self, item: str) -> None:
        self.put(POD, self.pods[item])

    # What a Client does.

    async def reachable(self) -> None:
        await self.up.wait()

    async def get(self, kind: Kind, name: str, namespace: str) -> Obj:
        self._reach()
        return copy(self._pod(namespace, name))

    async def create(self, kind: Kind, obj: Obj, namespace: str, subresource: str, name: str) -> None:
        self._reach()
        await asyncio.sleep(0)
        pod, answer = self._pod(namespace, name), self.answers.popleft() if self.answers else "ok"
        if pod["metadata"]["uid"] != obj["metadata"]["uid"] or pod["spec"].get("nodeName"):
            raise errors.Conflict(f"pod {name} is another, or has a node")
        if answer == "refused":
            raise errors.InternalError("no")
        if answer in ("ok", "lost"):
            pod["spec"]["nodeName"] = obj["target"]["name"]
            self.bound[pod["metadata"]["uid"]] += 1
            self._tell(key(pod))
            self._check(obj["target"]["name"])
        if answer == "ended":
            self.up.clear()
        if answer in ("lost", "silent", "ended"):
            raise errors.Unreachable("no answer")

    async def patch(self, kind: Kind, name: str, patch: Obj, namespace: str, **_: Any) -> None:
        self._reach()
        await asyncio.sleep(0)
        pod = self._pod(namespace, name)
        if pod["metadata"]["uid"] != patch["metadata"]["uid"]:
            raise errors.Conflict("another uid")
        status = pod.setdefault("status", {})
        told = patch["status"]
        kept = {c["type"]: c for c in (*status.get("conditions", ()), *told.get("conditions", ()))}
        status["conditions"] = list(kept.values())
        if "nominatedNodeName" in told:
            status["nominatedNodeName"] = told["nominatedNodeName"] or ""
        self._tell(key(pod))

    async def delete(self, kind: Kind, name: str, namespace: str, uid: str) -> None:
        self._reach()
        await asyncio.sleep(0)
        if self._pod(namespace, name)["metadata"]["uid"] == uid:
            self.deleted.append(name)
            self.remove_pod(name)

    def event(self, obj: Obj, kind: str, reason: str, message: str) -> None:
        self.events.append((obj["metadata"]["name"], reason, message))

    def _reach(self) -> None:
        if not self.up.is_set():
            raise errors.Unreachable("down")

    def _pod(self, namespace: str, name: str) -> Obj:
        if f"{namespace}/{name}" not in self.pods:
            raise errors.NotFound(f"pod {name}")
        return self.pods[f"{namespace}/{name}"]

    def _check(self, node: str) -> None:
        """No node ever has more than it can hold."""
        there = [p for p in self.pods.values() if p["spec"].get("nodeName") == node]
        if node in self.nodes:
            used = sum(pod_requests(p["spec"]).get("cpu", 0) for p in there)
            assert used <= int(self.nodes[node]["status"]["allocatable"]["cpu"]) * 1000, (node, self.where())


def scheduler(api: Api, profiles: Mapping[str, Profile] | None = None, extenders: Sequence[Extender] = ()) -> Scheduler:
    volumes = InformedStorage(*(api.informers[kind] for kind in storage.KINDS))
    devices = InformedDevices(*(api.informers[kind] for kind in holdings.KINDS))
    default = default_profile(storage=volumes, devices=devices)
    parts = Parts(
        cast(Client, api),
        api.informers[POD],
        api.informers[NODE],
        api.informers[NAMESPACE],
        cast(EventRecorder, api),
        profiles or {default.name: default},
        Workloads(),
        volumes,
        devices,
        InformedBudgets(api.informers[POD_DISRUPTION_BUDGET]),
        extenders,
        Pauses(1.0, 2.0),
    )
    return Scheduler(parts)


async def until(what: Callable[[], bool], seconds: float = 400.0) -> None:
    """Wait in the time of tests.clock."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not what():
        assert loop.time() < end, "it did not come"
        await asyncio.sleep(0.1)

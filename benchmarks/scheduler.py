"""Pods bound a second, through the API, on made-up nodes; beside the same bindings written by a client that decides
nothing.

API server, scheduler and client live in one private network namespace. The pods are there before the scheduler starts,
and a watch tells when each is bound: what is measured is deciding and binding, not creating. Processor time is that of
scheduler and API server, for each pod.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from apimachinery.client import Client, PatchType
from apimachinery.informer import Informer
from apimachinery.kinds import NODE, POD, SERVICE, SERVICE_ACCOUNT
from apimachinery.objects import Obj, name
from benchmarks.plane import Daemons, daemons
from benchmarks.vips import new_world, run_inside

Show = Callable[[str], None]
ZONES = 3
ABREAST = 8
DEADLINE = 600.0
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
ALIKE = {"matchLabels": {"app": "bench"}}


def _spread(key: str, skew: int, unsatisfiable: str) -> Obj:
    return {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": unsatisfiable, "labelSelector": ALIKE}


def _affinity(kind: str, key: str) -> Obj:
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": key, "labelSelector": ALIKE}]}}


@dataclass(frozen=True)
class Load:
    """Pods of one kind: what their spec has besides requests, whether a Service selects them, and whether a node takes
    but one of them."""

    title: str
    spec: Obj = field(default_factory=dict)
    service: bool = False
    alone: bool = False


LOADS = {
    "plain": Load("requests alone"),
    "service": Load("of a Service: spread by default", service=True),
    "spread": Load("DoNotSchedule by zone", {"topologySpreadConstraints": [_spread(ZONE, 5, "DoNotSchedule")]}),
    "affinity": Load("affinity by zone", {"affinity": _affinity("podAffinity", ZONE)}),
    "anti": Load("anti-affinity by host", {"affinity": _affinity("podAntiAffinity", HOST)}, alone=True),
}


def measure(sizes: Sequence[int], pods: int, loads: Sequence[str], show: Show) -> None:
    """Print the figures for each number of nodes and each load. Needs root; leaves nothing behind."""
    show(f"{'':<40}{'pods/s':>9}{'floor':>9}{'share':>8}{'scheduler':>11}{'server':>8}  ms CPU/pod")
    for size in sizes:
        with new_world() as world, daemons(world.node) as processes:
            bench = _Bench(processes, size, pods, show)
            run_inside(world.node, lambda bench=bench: bench.run(loads))  # type: ignore[misc]


class _Bench:
    def __init__(self, processes: Daemons, nodes: int, pods: int, show: Show) -> None:
        self._processes, self._nodes, self._pods, self._show = processes, nodes, pods, show
        self._client: Client
        self._wanted = pods
        self._bound: set[str] = set()
        self._first = self._last = 0.0

    async def run(self, loads: Sequence[str]) -> None:
        self._processes.start_api()
        await self._processes.until_serving()
        self._client = Client.from_kubeconfig(self._processes.kubeconfig, "bench")
        informer = Informer(self._client, POD, "default")
        informer.add_handler(self._on_pod)
        watching = asyncio.ensure_future(informer.run())
        try:
            await self._client.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
            await self._abreast(range(self._nodes), self._node)
            for which in loads:
                await self._one(LOADS[which])
        finally:
            watching.cancel()
            await self._client.close()

    async def _one(self, load: Load) -> None:
        # Half of the nodes stay free: what is measured is no search for the last one.
        self._wanted = min(self._pods, max(self._nodes // 2, 2)) if load.alone else self._pods
        floor = await self._timed(load, self._by_hand)
        cpu = (0.0, 0.0)

        async def scheduled() -> None:
            nonlocal cpu
            election = {"leader_elect": False}
            settings = {"kubeconfig": str(self._processes.kubeconfig), "health_port": 0, "election": election}
            self._processes.start("scheduler", "controlplane.scheduler", settings)
            await self._until(lambda: bool(self._bound))
            before, count = self._used(), len(self._bound)
            await self._until(lambda: len(self._bound) == self._wanted)
            spent = [(now - then) * 1e3 for now, then in zip(self._used(), before, strict=True)]
            left = max(self._wanted - count, 1)
            cpu = (spent[0] / left, spent[1] / left)

        rate = await self._timed(load, scheduled)
        self._processes.end("scheduler")
        label = f"{self._nodes} nodes: {load.title}"
        self._show(f"{label:<40}{rate:9.0f}{floor:9.0f}{rate / floor:8.0%}{cpu[0]:11.2f}{cpu[1]:8.2f}")

    def _used(self) -> tuple[float, float]:
        """Seconds of processor time that scheduler and API server have had."""
        return self._processes.processor_seconds("scheduler"), self._processes.processor_seconds("api")

    async def _timed(self, load: Load, work: Callable[[], Awaitable[None]]) -> float:
        """Pods bound a second from the first to the last, by `work`."""
        self._bound.clear()
        if load.service:
            spec = {"selector": {"app": "bench"}, "ports": [{"port": 80}]}
            await self._client.create(SERVICE, {"metadata": {"name": "bench"}, "spec": spec}, "default")
        await self._abreast(range(self._wanted), lambda number: self._pod(number, load))
        self._first = 0.0
        await work()
        await self._until(lambda: len(self._bound) == self._wanted)
        rate = (self._wanted - 1) / (self._last - self._first)
        await self._client.delete_collection(POD, "default", grace_period=0)
        if load.service:
            await self._client.delete(SERVICE, "bench", "default")
        return rate

    async def _by_hand(self) -> None:
        nodes = itertools.cycle(range(self._nodes))

        async def bind(number: int) -> None:
            body = {"metadata": {"name": f"pod-{number}"}, "target": {"kind": "Node", "name": f"node-{next(nodes)}"}}
            await self._client.create(POD, body, "default", subresource="binding", name=f"pod-{number}")

        await self._abreast(range(self._wanted), bind)

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and (new.get("spec") or {}).get("nodeName") and name(new) not in self._bound:
            self._last = time.perf_counter()
            self._first = self._first or self._last
            self._bound.add(name(new))

    async def _node(self, number: int) -> None:
        labels = {HOST: f"node-{number}", ZONE: f"zone-{number % ZONES}"}
        room = {"cpu": "4", "memory": "32Gi", "pods": "110"}
        status = {"capacity": room, "allocatable": room}
        await self._client.create(NODE, {"metadata": {"name": f"node-{number}", "labels": labels}, "status": status})
        # It comes with the taint of a node that is not ready yet.
        patch = {"spec": {"taints": None}}
        await self._client.patch(NODE, f"node-{number}", patch, patch_type=PatchType.MERGE)

    async def _pod(self, number: int, load: Load) -> None:
        container = {"name": "c", "image": "none", "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}}}
        meta = {"name": f"pod-{number}", "labels": {"app": "bench"}}
        await self._client.create(POD, {"metadata": meta, "spec": {"containers": [container], **load.spec}}, "default")

    async def _abreast(self, numbers: Sequence[int], work: Callable[[int], Awaitable[None]]) -> None:
        left = iter(numbers)

        async def worker() -> None:
            for number in left:
                await work(number)

        await asyncio.gather(*(worker() for _ in range(ABREAST)))

    async def _until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not what():
            self._processes.check()
            if time.monotonic() > deadline:
                print(self._processes.log("scheduler")[-3000:], file=sys.stderr)
                raise RuntimeError(f"only {len(self._bound)} of {self._wanted} pods were bound in {DEADLINE:.0f} s")
            await asyncio.sleep(0.01)

"""A whole control plane with simulated nodes: how soon a Deployment is complete, what much at rest costs, and how far
the loops lag while pods come and go.

API server, scheduler and controllers live in one private network namespace, each a process; the nodes are this process.
Processor time is that of the control plane alone; on a machine of few cores it lacks what the nodes take, which is told
beside.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from apimachinery import kubeconfig
from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.kinds import DEPLOYMENT, POD, SERVICE_ACCOUNT
from apimachinery.objects import Obj, is_deleting, name, namespace, uid
from benchmarks import figures
from benchmarks.plane import Daemons, daemons
from benchmarks.vips import new_world, run_inside
from lab.simulate import plan
from lab.simulate.runner import Runner
from lab.simulate.stages import Stages

Show = Callable[[str], None]
PARTS = ("api", "scheduler", "controllers")
SPACE = plan.NAMESPACE
DEADLINE = 900.0
METRICS_PORT = 10257
# Seconds without a change after which nodes are what they will be.
QUIET = 3.0
# Pods that are deleted a second while loops are watched, each replaced by another.
CHURN = 20
_BUCKET = re.compile(r'workqueue_queue_duration_seconds_bucket\{le="([^"]+)",name="([^"]*)"\} (\S+)')


def measure(nodes: int, pods: int, deployed: int, seconds: float, show: Show) -> None:
    """Print the figures: `deployed` pods at once, then as many as `pods` at rest for `seconds`, then churn as long.
    Needs root; leaves nothing behind.
    """
    with new_world() as world, daemons(world.node) as processes:
        bench = _Bench(processes, show)
        run_inside(world.node, lambda: bench.run(nodes, pods, deployed, seconds))


class _Bench:
    def __init__(self, processes: Daemons, show: Show) -> None:
        self._processes, self._show = processes, show
        self._client: Client
        self._pods: Informer
        # When each pod was first seen: at all, with a node, and Ready.
        self._seen: tuple[dict[str, float], dict[str, float], dict[str, float]] = ({}, {}, {})

    async def run(self, nodes: int, pods: int, deployed: int, seconds: float) -> None:
        self._processes.start_api()
        await self._processes.until_serving()
        self._client = Client.from_kubeconfig(self._processes.kubeconfig, "bench")
        self._start_loops()
        runner = Runner(self._client, Stages(max_pods=max(110, 2 * pods // nodes)), lambda _text: None)
        # The nodes' own look at the pods: another one would be work for the server that no cluster has.
        self._pods = runner.pods
        self._pods.add_handler(self._on_pod)
        try:
            await self._client.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, SPACE)
            await runner.start(nodes, 0)
            await self._settled(runner.nodes)
            await self._complete(deployed)
            if pods > deployed:
                await self._complete(pods)
            await self._rest(seconds)
            await self._churn(seconds)
        finally:
            await runner.leave()
            await self._client.close()

    def _start_loops(self) -> None:
        folder = self._processes.folder
        common: dict[str, Any] = {"kubeconfig": str(self._processes.kubeconfig), "election": {"leader_elect": False}}
        self._processes.start("scheduler", "controlplane.scheduler", {**common, "health_port": 0})
        door = {
            "health_port": METRICS_PORT,
            "tls_cert_file": str(folder / "api.crt"),
            "tls_key_file": str(folder / "api.key"),
            "client_ca_file": str(folder / "ca.crt"),
        }
        keys = {"service_account_key_file": str(folder / "sa.key"), "cluster_cidr": "10.128.0.0/9"}
        self._processes.start("controllers", "controlplane.controllers", {**common, **door, **keys})

    async def _settled(self, nodes: Informer) -> None:
        """Return when nobody writes to the nodes any more: each gets a range, an annotation, and loses a taint."""
        last = time.monotonic()

        def note(old: Obj | None, new: Obj | None) -> None:
            nonlocal last
            last = time.monotonic()

        nodes.add_handler(note)
        await self._until(lambda: time.monotonic() - last > QUIET)

    async def _complete(self, replicas: int) -> None:
        before, own, begun = self._used(), time.process_time(), time.perf_counter()
        there = len(self._seen[2])
        if there:
            await self._client.patch(DEPLOYMENT, plan.PODS, {"spec": {"replicas": replicas}}, SPACE)
        else:
            await self._client.create(DEPLOYMENT, plan.deployment(replicas), SPACE)
        await self._until(lambda: len(self._seen[2]) >= replicas)
        await self._available(replicas)
        took, more = time.perf_counter() - begun, replicas - there
        spent = [(now - then) / more * 1e3 for now, then in zip(self._used(), before, strict=True)]
        text = (
            f"{more} pods more of a Deployment are available" if there else f"a Deployment of {more} pods is complete"
        )
        parts = ", ".join(f"{part} {each:.2f}" for part, each in zip(PARTS, spent, strict=True))
        nodes = (time.process_time() - own) / more * 1e3
        self._show(f"{text}: {took:.1f} s; ms CPU/pod: {parts}; the nodes {nodes:.2f}")

    async def _available(self, replicas: int) -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            self._processes.check()
            status = (await self._client.get(DEPLOYMENT, plan.PODS, SPACE)).get("status") or {}
            if status.get("availableReplicas") == replicas:
                return
            await asyncio.sleep(0.05)
        raise RuntimeError(f"the Deployment does not tell {replicas} available pods")

    async def _rest(self, seconds: float) -> None:
        """Nothing happens but heartbeats."""
        await asyncio.sleep(min(seconds, 10.0))
        with self._cores() as told:
            await asyncio.sleep(seconds)
        memory = {part: self._processes.resident_mb(part) for part in PARTS}
        listed = ", ".join(f"{part} {size:.0f}" for part, size in memory.items())
        self._show(f"at rest for {seconds:.0f} s: {told[0]}; {sum(memory.values()):.0f} MB ({listed})")

    async def _churn(self, seconds: float) -> None:
        """Pods are deleted one after the other and replaced."""
        before = await self._waits()
        for seen in self._seen:
            seen.clear()
        old = {uid(pod) for pod in self._pods.items()}
        with self._cores() as told:
            end = asyncio.get_running_loop().time() + seconds
            for pod in [p for p in self._pods.items() if not is_deleting(p)]:
                if asyncio.get_running_loop().time() > end:
                    break
                await self._client.delete(POD, name(pod), SPACE)
                await asyncio.sleep(1 / CHURN)
        self._show(f"{CHURN} pods a second are replaced: {told[0]}")
        self._show(figures.head("ms"))
        first, bound, _ = self._seen
        waits = [bound[each] - first[each] for each in bound if each in first and each not in old]
        self._show(figures.row("a pod is seen → it has a node", waits, scale=1e3))
        after = await self._waits()
        rows = sorted(((_longest(counts, before.get(loop, {})), loop) for loop, counts in after.items()), reverse=True)
        self._show("longest wait in a loop's queue, at most: " + ", ".join(f"{lo} {s:g} s" for s, lo in rows[:5]))

    async def _waits(self) -> dict[str, dict[float, float]]:
        """Of each loop's queue: keys that waited so many seconds at most."""
        server = f"https://127.0.0.1:{METRICS_PORT}"
        client = Client.of(dataclasses.replace(kubeconfig.load(self._processes.kubeconfig), server=server), "bench")
        try:
            text = (await client.request("GET", "/metrics"))["raw"]
        finally:
            await client.close()
        found: dict[str, dict[float, float]] = {}
        for limit, loop, count in _BUCKET.findall(text):
            found.setdefault(loop, {})[float(limit)] = float(count)
        return found

    @contextmanager
    def _cores(self) -> Iterator[list[str]]:
        """What the control plane had of the processors meanwhile, as a text."""
        told: list[str] = []
        before, begun = self._used(), time.perf_counter()
        yield told
        took = time.perf_counter() - begun
        spent = [(now - then) / took for now, then in zip(self._used(), before, strict=True)]
        listed = ", ".join(f"{part} {each:.2f}" for part, each in zip(PARTS, spent, strict=True))
        told.append(f"{sum(spent):.2f} cores ({listed})")

    def _used(self) -> list[float]:
        return [self._processes.processor_seconds(part) for part in PARTS]

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or namespace(new) != SPACE:
            return
        now = time.perf_counter()
        told = (True, bool((new.get("spec") or {}).get("nodeName")), plan.is_ready(new))
        for seen, is_so in zip(self._seen, told, strict=True):
            if is_so:
                seen.setdefault(uid(new), now)

    async def _until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not what():
            self._processes.check()
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"{[len(seen) for seen in self._seen]} pods were seen, bound, ready in {DEADLINE:.0f} s"
                )
            await asyncio.sleep(0.01)


def _longest(after: dict[float, float], before: dict[float, float]) -> float:
    """The upper limit of the highest bucket that has got more."""
    more = {limit: count - before.get(limit, 0.0) for limit, count in after.items()}
    total = max(more.values(), default=0.0)
    return min((limit for limit, count in more.items() if count == total), default=0.0) if total else 0.0

"""One EndpointSlice written → its VIP answers from the new backend, beside other Services; and its floors.

API server, netproxy and client live in one private network namespace, the backends in another. Each figure stands
beside its floor of the same run: a bare watcher that sees the same write (and asks), and the same given to the kernel
by hand (nft -f, iptables-restore, libnftables in process, virtual servers by netlink); and beside a kube-proxy, where
one is given.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery.client import Client
from apimachinery.kinds import ENDPOINT_SLICE, SERVICE
from apimachinery.kit import command
from benchmarks import service_peer
from benchmarks.bystander import Bystander
from benchmarks.ends import VIP, until_answered_by
from benchmarks.figures import head, row
from benchmarks.plane import Daemons, daemons
from benchmarks.service_floors import floors
from benchmarks.vips import BACKENDS, GROUND, new_world, run_inside, ways
from netproxy.model import Backend, Family, PortKey, Route, ServicePort

_SYNC_DEADLINE = 900.0
"""seconds for a first full sync: a quarter of a million iptables chains take minutes"""
_PAUSE = 0.15
"""between two changes"""
Show = Callable[[str], None]


def measure(
    modes: Sequence[str], sizes: Sequence[int], endpoints: int, rounds: int, peer: Path | None, show: Show
) -> None:
    """Print the figures for each mode and each number of other Services, of so many endpoints; then those of a
    kube-proxy binary, the `peer`, in the modes it is asked for. Needs root; leaves nothing behind."""
    for mode in modes:
        with new_world() as world, daemons(world.node) as processes:
            bench = _Bench(processes, mode, endpoints, rounds, peer if mode in service_peer.MODES else None, show)
            run_inside(world.node, lambda bench=bench: bench.run(sorted(sizes)))  # type: ignore[misc]


def service(index: int) -> dict[str, Any]:
    """The measured Service (-1) or one of the others."""
    ip = VIP if index < 0 else f"10.96.{index // 250}.{index % 250 + 2}"
    spec = {"clusterIP": ip, "ports": [{"name": "p", "port": 80, "targetPort": 8080, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"svc{index}"}, "spec": spec}


def endpoint_slice(index: int, *ips: str) -> dict[str, Any]:
    """Its endpoints."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"svc{index}-1", "labels": {"kubernetes.io/service-name": f"svc{index}"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
        "ports": [{"name": "p", "port": 8080, "protocol": "TCP"}],
    }


def others_backends(index: int, count: int = 2) -> tuple[str, ...]:
    """Addresses nobody ever asks."""
    return tuple(f"10.{100 + number}.{index // 250}.{index % 250 + 2}" for number in range(count))


def route(index: int, *ips: str) -> Route:
    """The same Service as the proxy's planner sees it."""
    key = PortKey("default", f"svc{index}", "p", "TCP", Family.IPV4)
    port = ServicePort(key, service(index)["spec"]["clusterIP"], 80)
    return Route(port, tuple(Backend(ip, 8080) for ip in ips), (), True)


async def fill(client: Client, numbers: Iterator[int], endpoints: int = 2) -> None:
    """Write other Services with so many endpoints each."""

    async def writer() -> None:
        for index in numbers:
            await client.create(SERVICE, service(index), namespace="default")
            body = endpoint_slice(index, *others_backends(index, endpoints))
            await client.create(ENDPOINT_SLICE, body, namespace="default")

    await asyncio.gather(*(writer() for _ in range(8)))


@dataclass
class _Partial:
    """The proxy's own count of its partial syncs."""

    seconds: float
    count: float

    @classmethod
    def now(cls) -> _Partial:
        name = "kubeproxy_sync_partial_proxy_rules_duration_seconds"
        return cls(metric(name + "_sum"), metric(name + "_count"))


def metric(name: str) -> float:
    """A figure the proxy serves, summed over its labels."""
    with urllib.request.urlopen("http://127.0.0.1:10249/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))


class _Bench:
    """One mode: its API server, its proxy, and the slice that is changed."""

    def __init__(
        self, processes: Daemons, mode: str, endpoints: int, rounds: int, peer: Path | None, show: Show
    ) -> None:
        self._peer = peer
        self._processes = processes
        self._mode = mode
        self._endpoints = endpoints
        self._rounds = rounds
        self._show = show
        self._stop = threading.Event()
        self._slice: dict[str, Any] = {}
        self._client: Client

    async def run(self, sizes: Sequence[int]) -> None:
        """Measure beside ever more Services."""
        self._processes.start_api()
        await self._processes.until_serving()
        self._client = Client.from_kubeconfig(self._processes.kubeconfig, "bench")
        try:
            await self._client.create(SERVICE, service(-1), namespace="default")
            body = endpoint_slice(-1, BACKENDS[0])
            self._slice = await self._client.create(ENDPOINT_SLICE, body, namespace="default")
            if self._peer:
                await service_peer.prepare(self._client)
            filled = 0
            for size in sizes:
                await fill(self._client, iter(range(filled, size)), self._endpoints)
                filled = max(filled, size)
                await self._one_size(size)
        except TimeoutError as error:
            raise SystemExit(f"{error}\n{self._processes.log('proxy')[-4000:]}") from error
        finally:
            self._stop.set()
            await self._client.close()

    async def _one_size(self, size: int) -> None:
        self._show("")
        self._show(head(f"ms, {self._mode}, {size} other Services of {self._endpoints}"))
        await self._one_proxy(self._start_own, _PAUSE)
        await command.run([sys.executable, "-m", "netproxy", "--cleanup", "--mode", self._mode], timeout=120)
        if self._peer:
            peer = self._peer
            self._show(f"\n  {peer}")
            await self._one_proxy(lambda: service_peer.start(self._processes, peer, self._mode), service_peer.PAUSE)
            await service_peer.clean_up(peer)
        self._show("")
        rest = (route(index, *others_backends(index, self._endpoints)) for index in range(size))
        one, other = (route(-1, backend) for backend in BACKENDS)
        for label, values in (await floors(self._mode, one, other, rest, self._rounds)).items():
            self._show(row(f"  floor: {label}", values))

    async def _one_proxy(self, start: Callable[[], object], pause: float) -> None:
        began = time.perf_counter()
        start()
        wanted = self._slice["endpoints"][0]["addresses"][0]
        answered = await asyncio.to_thread(until_answered_by, wanted, self._stop, _SYNC_DEADLINE, True)
        self._show(row("proxy started → VIP answers", [answered - began], scale=1e3))
        full = await self._first_full_sync()
        self._show(row("  the first full sync", [full], scale=1e3))
        await asyncio.sleep(1)
        before, cpu = _Partial.now(), self._processes.processor_seconds("proxy")
        self._show(row("  processor time of the proxy so far", [cpu], scale=1e3))
        answers, watched = await self._changes(pause)
        after, cpu = _Partial.now(), self._processes.processor_seconds("proxy") - cpu
        self._show(row("EndpointSlice written → new backend answers", answers, scale=1e3))
        self._show(row("  floor: the same write → a bare watcher", watched, scale=1e3))
        mean = (after.seconds - before.seconds) / max(after.count - before.count, 1)
        self._show(row("  of which the proxy's sync (mean)", [mean], scale=1e3))
        self._show(row("  processor time of the proxy for it (mean)", [cpu / self._rounds], scale=1e3))
        await self._latency()
        self._show(f"the proxy's resident memory: {self._processes.resident_mb('proxy'):.0f} MB")
        self._processes.end("proxy")

    async def _latency(self) -> None:
        """Through the VIP, and beside it at the address of the pod that answers there."""
        backend = self._slice["endpoints"][0]["addresses"][0]
        through, beside = await asyncio.to_thread(ways, ((VIP, 80), (backend, 8080)), 20 * self._rounds)
        for label, one, other in zip(
            ("a new connection's first answer, by the VIP", "a byte there and back, by the VIP"),
            through,
            beside,
            strict=True,
        ):
            self._show(row(label, one, scale=1e3))
            self._show(row("  floor: at the pod's own address", other, scale=1e3))

    def _start_own(self) -> None:
        settings = {
            "kubeconfig": str(self._processes.kubeconfig),
            "mode": self._mode,
            "cluster_cidr": GROUND.cluster_cidrs[0],
            "service_cidr": GROUND.service_cidrs[0],
            "ipv6": False,
        }
        self._processes.start("proxy", "netproxy", settings)

    async def _first_full_sync(self) -> float:
        """Its seconds, once it is over: in iptables mode the VIP answers when the first of two tables is in force."""
        name = "kubeproxy_sync_full_proxy_rules_duration_seconds"
        deadline = time.monotonic() + _SYNC_DEADLINE
        while metric(name + "_count") == 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the first full sync did not end within {_SYNC_DEADLINE:g} s")
            await asyncio.sleep(0.1)
        return metric(name + "_sum")

    async def _changes(self, pause: float) -> tuple[list[float], list[float]]:
        """Seconds from write to answer, and from write to the bare watcher."""
        with Bystander(self._processes.kubeconfig, self._slice) as bystander:
            await asyncio.to_thread(bystander.ready)
            await asyncio.sleep(0.2)
            pairs = []
            for _ in range(self._rounds):
                pairs.append(await self._change_once(bystander))
                await asyncio.sleep(pause)
        return [answer for answer, _ in pairs], [event for _, event in pairs]

    async def _change_once(self, bystander: Bystander) -> tuple[float, float]:
        """Move the VIP to the other backend."""
        now = self._slice["endpoints"][0]["addresses"][0]
        target = BACKENDS[1 - BACKENDS.index(now)]
        wanted = {**self._slice, "endpoints": [{"addresses": [target], "conditions": {"ready": True}}]}
        began = time.perf_counter()
        self._slice = await self._client.update(ENDPOINT_SLICE, wanted)
        heard, answered = await asyncio.to_thread(bystander.moments)
        return answered - began, heard - began

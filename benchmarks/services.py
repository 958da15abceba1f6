"""One EndpointSlice written → its VIP answers from the new backend, beside other Services; and its floors.

    python -m benchmarks.services [--sizes 0,1000,5000] [--modes nftables,iptables] [--rounds 20]

Needs root. API server, netproxy and client live in one private network namespace, the backends in another. Each
figure stands beside its floor of the same run: a bare watcher that sees the same write, and the same rules given to
the kernel by hand (nft -f, iptables-restore, libnftables in process).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from apimachinery.client import Client
from apimachinery.kinds import ENDPOINT_SLICE, SERVICE
from apimachinery.kit import netns
from apimachinery.kit.nft import Nft
from benchmarks.plane import Daemons, daemons
from netproxy.ground import Ground
from netproxy.iptables import base as iptables_base
from netproxy.iptables import diff as iptables_diff
from netproxy.iptables.plan import plan as iptables_plan
from netproxy.ledger import Ledger
from netproxy.model import Backend, Family, PortKey, Route, ServicePort
from netproxy.nftables import diff as nft_diff
from netproxy.nftables.plan import plan as nft_plan

BACKENDS = ("10.244.1.5", "10.244.1.6")
VIP = "10.96.255.1"
GROUND = Ground(Family.IPV4, cluster_cidrs=("10.244.0.0/16",), service_cidrs=("10.96.0.0/16",))
UPSTREAM = {("iptables", 1000): 62, ("iptables", 5000): 289, ("nftables", 5000): 1058}
"""milliseconds of kube-proxy 1.36 for one change, on a machine like the one this was planned on"""


class World:
    """A node namespace and one with the backends' addresses; a server there answers with the address asked."""

    def __init__(self) -> None:
        prefix = f"wht{os.getpid():x}{secrets.token_hex(2)}"
        self.node, self.pods = netns.create(prefix + "n"), netns.create(prefix + "p")
        self._listener = netns.open_socket(self.pods, socket.AF_INET, socket.SOCK_STREAM)

    def wire(self) -> None:
        _run("ip", "link", "add", "v0", "netns", self.node.name, "type", "veth", "peer", "e0", "netns", self.pods.name)
        inside = [f"addr add {ip}/24 dev e0" for ip in BACKENDS]
        self._ip(self.node, "link set lo up", "addr add 10.244.1.1/24 dev v0", "link set v0 up")
        self._ip(self.pods, "link set lo up", *inside, "link set e0 up", "route add default via 10.244.1.1")
        self._ip(self.node, "route add default via 10.244.1.254")
        self._listener.bind(("", 8080))
        self._listener.listen(256)
        threading.Thread(target=self._answer, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for path in (self.node, self.pods):
            netns.delete(path.name)

    def _ip(self, where: Path, *lines: str) -> None:
        _run("nsenter", f"--net={where}", "ip", "-batch", "-", text="\n".join(lines))

    def _answer(self) -> None:
        while True:
            try:
                handle, _ = self._listener.accept()
            except OSError:
                return
            with handle, contextlib.suppress(OSError):
                handle.settimeout(1)
                handle.sendall(handle.getsockname()[0].encode())
                # The client closes first: a port in TIME_WAIT here could refuse the next translated client.
                handle.recv(1)


def _run(*argv: str, text: str = "", check: bool = True) -> float:
    """Milliseconds of a command with `text` on its standard input."""
    began = time.perf_counter()
    subprocess.run(argv, input=text.encode(), check=check, capture_output=True, timeout=300)
    return (time.perf_counter() - began) * 1e3


@contextlib.contextmanager
def new_world() -> Iterator[World]:
    world = World()
    try:
        world.wire()
        yield world
    finally:
        world.close()


def ask(timeout: float = 1.0) -> str:
    """Who answers at the VIP; empty when nobody does."""
    try:
        with socket.create_connection((VIP, 80), timeout=timeout) as handle:
            return handle.recv(64).decode()
    except OSError:
        return ""


def service(index: int) -> dict[str, Any]:
    ip = VIP if index < 0 else f"10.96.{index // 250}.{index % 250 + 2}"
    spec = {"clusterIP": ip, "ports": [{"name": "p", "port": 80, "targetPort": 8080, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"svc{index}"}, "spec": spec}


def endpoint_slice(index: int, *ips: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"svc{index}-1", "labels": {"kubernetes.io/service-name": f"svc{index}"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
        "ports": [{"name": "p", "port": 8080, "protocol": "TCP"}],
    }


def others_backends(index: int) -> tuple[str, str]:
    return f"10.245.{index // 250}.{index % 250 + 2}", f"10.246.{index // 250}.{index % 250 + 2}"


async def fill(client: Client, numbers: Iterator[int]) -> None:
    """Write other Services with two endpoints each."""

    async def writer() -> None:
        for index in numbers:
            await client.create(SERVICE, service(index), namespace="default")
            body = endpoint_slice(index, *others_backends(index))
            await client.create(ENDPOINT_SLICE, body, namespace="default")

    await asyncio.gather(*(writer() for _ in range(8)))


class Seen:
    """A bare watch of the one slice: when its versions arrive at a client that does nothing else."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._times: dict[str, float] = {}

    async def run(self, version: str) -> None:
        selector = "metadata.name=svc-1-1"
        async for _, obj in self._client.watch(
            ENDPOINT_SLICE, "default", resource_version=version, field_selector=selector
        ):
            self._times[obj["metadata"]["resourceVersion"]] = time.perf_counter()

    async def when(self, version: str) -> float:
        while version not in self._times:
            await asyncio.sleep(0.001)
        return self._times[version]


async def change_once(
    client: Client, current: dict[str, Any], seen: Seen, log: Callable[[], str]
) -> tuple[dict[str, Any], float, float]:
    """Move the VIP to the other backend: (the slice, ms write → answer, ms write → bare watcher)."""
    now = current["endpoints"][0]["addresses"][0]
    target = BACKENDS[1 - BACKENDS.index(now)]
    wanted = {**current, "endpoints": [{"addresses": [target], "conditions": {"ready": True}}]}
    answered: list[float] = []

    def wait() -> None:
        deadline = time.perf_counter() + 30
        # Asking without a pause would take the processor from those who are measured.
        while ask() != target:
            time.sleep(0.001)
            if time.perf_counter() > deadline:
                raise SystemExit(f"the VIP never answered from the new backend\n{log()[-4000:]}")
        answered.append(time.perf_counter())

    waiter = asyncio.get_running_loop().run_in_executor(None, wait)
    await asyncio.sleep(0.01)
    began = time.perf_counter()
    written = await client.update(ENDPOINT_SLICE, wanted)
    watched = await asyncio.wait_for(seen.when(written["metadata"]["resourceVersion"]), 30)
    await waiter
    return written, (answered[0] - began) * 1e3, (watched - began) * 1e3


def route(index: int, *ips: str) -> Route:
    key = PortKey("default", f"svc{index}", "p", "TCP", Family.IPV4)
    port = ServicePort(key, service(index)["spec"]["clusterIP"], 80)
    return Route(port, tuple(Backend(ip, 8080) for ip in ips), (), True)


def texts(mode: str, count: int) -> tuple[str, str, str]:
    """The final rules in full, and one change there and back, as the proxy writes them."""
    ledger: Ledger[Any, Any] = Ledger()
    plan: Any = nft_plan if mode == "nftables" else iptables_plan
    one, other = route(-1, BACKENDS[0]), route(-1, BACKENDS[1])
    for made in (one, *(route(index, *others_backends(index)) for index in range(count))):
        ledger.claim(made.port.key, plan(made, GROUND))
    changes = []
    rebuild = (
        nft_diff.anew(ledger.items(), GROUND)
        if mode == "nftables"
        else iptables_diff.rebuild(ledger.items(), GROUND, {}, iptables_base.JUMPS)
    )
    for made in (other, one):
        ledger.commit()
        ledger.claim(made.port.key, plan(made, GROUND))
        delta = ledger.delta()
        changes.append("".join(nft_diff.change(delta, GROUND)) if mode == "nftables" else iptables_diff.change(delta))
    return rebuild, changes[0], changes[1]


async def floors(mode: str, count: int, rounds: int) -> dict[str, list[float]]:
    """The same rules by hand, in a namespace of their own."""
    full, there, back = texts(mode, count)
    name = f"wht{os.getpid():x}{secrets.token_hex(2)}f"
    where = netns.create(name)
    enter = ("nsenter", f"--net={where}")
    argv = (*enter, "nft", "-f", "-") if mode == "nftables" else (*enter, "iptables-restore", "--noflush")
    tool = "nft -f" if mode == "nftables" else "iptables-restore"
    try:
        results = {f"all rules, {tool}": [_run(*argv, text=full)]}
        results[f"one change, {tool}"] = [_run(*argv, text=(there, back)[i % 2]) for i in range(rounds)]
        if mode == "nftables":
            results["one change, libnftables"] = await _in_process(where, (there, back), rounds)
        return results
    finally:
        netns.delete(name)


async def _in_process(where: Path, changes: Sequence[str], rounds: int) -> list[float]:
    nft = Nft(where)
    await nft.open()
    took = []
    try:
        for index in range(rounds):
            began = time.perf_counter()
            await nft.run(changes[index % 2])
            took.append((time.perf_counter() - began) * 1e3)
    finally:
        nft.close()
    # The first run reads the kernel's tables in; a proxy that runs has done so long ago.
    return took[2:] or took


def metric(name: str) -> float:
    with urllib.request.urlopen("http://127.0.0.1:10249/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))


async def measure(processes: Daemons, mode: str, sizes: Sequence[int], rounds: int) -> None:
    processes.start_api()
    await processes.until_serving()
    client = Client.from_kubeconfig(processes.kubeconfig, "bench")
    settings = {
        "kubeconfig": str(processes.kubeconfig),
        "mode": mode,
        "cluster_cidr": GROUND.cluster_cidrs[0],
        "service_cidr": GROUND.service_cidrs[0],
        "ipv6": False,
    }
    try:
        await client.create(SERVICE, service(-1), namespace="default")
        current = await client.create(ENDPOINT_SLICE, endpoint_slice(-1, BACKENDS[0]), namespace="default")
        filled = 0
        for size in sizes:
            await fill(client, iter(range(filled, size)))
            filled = max(filled, size)
            current = await one_size(processes, client, current, settings, size, rounds)
    finally:
        await client.close()


async def one_size(
    processes: Daemons, client: Client, current: dict[str, Any], settings: dict[str, Any], size: int, rounds: int
) -> dict[str, Any]:
    mode = settings["mode"]
    began = time.perf_counter()
    processes.start("proxy", "netproxy", settings)
    wanted = current["endpoints"][0]["addresses"][0]
    while await asyncio.to_thread(ask, 0.05) != wanted:
        if time.perf_counter() - began > 120:
            raise SystemExit(f"the VIP never answered\n{processes.log('proxy')[-2000:]}")
    print(f"\n{mode}, {size} other Services{'':<22}median      p99      min")
    show("proxy started → VIP answers", [(time.perf_counter() - began) * 1e3])
    await asyncio.sleep(1)
    show("  of which the first full sync", [metric("kubeproxy_sync_full_proxy_rules_duration_seconds_sum") * 1e3])
    seen = Seen(client)
    watching = asyncio.ensure_future(seen.run(current["metadata"]["resourceVersion"]))
    await asyncio.sleep(0.2)
    partial = "kubeproxy_sync_partial_proxy_rules_duration_seconds"
    spent, synced = metric(partial + "_sum"), metric(partial + "_count")
    answers, watched = [], []
    for _ in range(rounds):
        current, answer, event = await change_once(client, current, seen, lambda: processes.log("proxy"))
        answers.append(answer)
        watched.append(event)
        await asyncio.sleep(0.15)
    spent, synced = metric(partial + "_sum") - spent, metric(partial + "_count") - synced
    watching.cancel()
    note = f"   kube-proxy 1.36: {UPSTREAM[mode, size]}" if (mode, size) in UPSTREAM else ""
    show("EndpointSlice written → new backend answers", answers, note)
    show("  floor: the same write → a bare watcher", watched)
    show("  of which netproxy's sync (mean)", [spent / max(synced, 1) * 1e3])
    memory = processes.resident_mb("proxy")
    processes.end("proxy")
    _run(sys.executable, "-m", "netproxy", "--cleanup", "--mode", mode)
    for label, values in (await floors(mode, size, rounds)).items():
        show(f"  floor: {label}", values)
    print(f"  netproxy resident memory {memory:.0f} MB")
    return current


def show(label: str, values: Sequence[float], note: str = "") -> None:
    ordered = sorted(values)
    last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(
        f"{label:<46}{statistics.median(values):9.2f}{last:9.2f}{ordered[0]:9.2f}   n={len(values)}{note}", flush=True
    )


@click.command()
@click.option("--sizes", default="0,1000,5000", help="How many other Services, separated by commas.")
@click.option("--modes", default="nftables,iptables", help="Proxy modes, separated by commas.")
@click.option("--rounds", default=20, help="Changes for each figure.")
def main(sizes: str, modes: str, rounds: int) -> None:
    """Service changes from the write to the packet, in milliseconds."""
    for mode in modes.split(","):
        with new_world() as world, daemons(world.node) as processes:
            counts = [int(size) for size in sizes.split(",")]
            body = measure(processes, mode, counts, rounds)
            netns.call(world.node, lambda body=body: asyncio.run(body))  # type: ignore[misc]


if __name__ == "__main__":
    main()

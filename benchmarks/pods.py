"""Pods: create→Ready and delete→gone as a watching client sees them, beside the CRI calls alone.

The floor makes the same sandbox and container on the same node, straight through CRI with the same CNI
configuration, and does nothing else.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.cri.client import CriClient
from agent.cri.messages import pb
from apimachinery.client import Client
from apimachinery.kinds import POD
from apimachinery.objects import Obj, condition_holds, is_deleting, name
from benchmarks.figures import head, row
from lab import names
from lab.images.catalog import BUSYBOX
from lab.paths import Paths
from lab.spec import Spec

NAMESPACE = "default"
DEADLINE = 120.0
# What a lab's pods get when they ask for nothing; without it runc is about 35 ms faster for each pod.
FILTER = pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault)
COMMAND = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"]


def pod(title: str, node: str = "") -> Obj:
    """A small pod that ends at once on SIGTERM."""
    container = {
        "name": "main",
        "image": BUSYBOX,
        "command": COMMAND,
        "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}},
    }
    spec: Obj = {"containers": [container], "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False}
    if node:
        spec["nodeName"] = node
    metadata = {"name": title, "namespace": NAMESPACE, "labels": {"bench": "pods"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Stopwatch:
    """Follows the bench's pods by a watch and notes when each became Ready and when it was gone."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._moments: dict[tuple[str, str], float] = {}
        self._changed = asyncio.Event()

    async def run(self, version: str) -> None:
        """Watch for ever."""
        while True:
            async for event, obj in self._client.watch(
                POD, NAMESPACE, resource_version=version, label_selector="bench=pods"
            ):
                version = obj["metadata"]["resourceVersion"]
                if event == "DELETED":
                    self._note(name(obj), "gone")
                elif condition_holds(obj, "Ready") and not is_deleting(obj):
                    self._note(name(obj), "ready")

    def _note(self, title: str, what: str) -> None:
        self._moments.setdefault((title, what), time.perf_counter())
        self._changed.set()

    async def moment(self, title: str, what: str) -> float:
        """When it happened (perf_counter), waiting for it."""

        async def wait() -> float:
            while (title, what) not in self._moments:
                self._changed.clear()
                await self._changed.wait()
            return self._moments[(title, what)]

        return await asyncio.wait_for(wait(), DEADLINE)


async def measure(spec: Spec, paths: Paths, count: int, burst: int, show: Callable[[str], None]) -> None:
    """Measure on a running lab and print; `count` pods one by one, then `burst` at once."""
    client = Client.from_kubeconfig(paths.kubeconfig, user_agent="wherry-bench")
    try:
        listed = await client.list(POD, NAMESPACE, label_selector="bench=pods")
        watch = Stopwatch(client)
        watching = asyncio.ensure_future(watch.run(listed["metadata"]["resourceVersion"]))
        show(head("seconds"))
        try:
            node = spec.nodes[0].name
            await _one_by_one(client, watch, 3, "warm", node)
            ready, gone = await _one_by_one(client, watch, count, "one", node)
            floor = Floor(spec, paths, node)
            start, stop = await floor.one_by_one(count)
            show(row("pod create → Ready, one by one", ready))
            show(row("  floor: the CRI calls alone", start))
            show(row("pod delete → gone, one by one", gone))
            show(row("  floor: the CRI calls alone", stop))
            ready, last, all_gone = await _burst(client, watch, burst, node)
            each, floor_last, floor_gone = await floor.burst(burst)
            show(row(f"burst of {burst} on one node: each Ready", ready))
            show(row("  floor: each started", each))
            show(row("  the last Ready", [last]))
            show(row("  floor: the last started", [floor_last]))
            show(row("  all gone", [all_gone]))
            show(row("  floor: all stopped and removed", [floor_gone]))
            await floor.close()
        finally:
            watching.cancel()
    finally:
        await client.close()


async def _one_by_one(
    client: Client, watch: Stopwatch, count: int, prefix: str, node: str
) -> tuple[list[float], list[float]]:
    ready, gone = [], []
    for number in range(count):
        title = f"bench-{prefix}-{uuid.uuid4().hex[:6]}-{number}"
        begun = time.perf_counter()
        await client.create(POD, pod(title, node))
        ready.append(await watch.moment(title, "ready") - begun)
        begun = time.perf_counter()
        await client.delete(POD, title, NAMESPACE)
        gone.append(await watch.moment(title, "gone") - begun)
    return ready, gone


async def _burst(client: Client, watch: Stopwatch, count: int, node: str) -> tuple[list[float], float, float]:
    titles = [f"bench-burst-{uuid.uuid4().hex[:6]}-{number}" for number in range(count)]
    begun = time.perf_counter()
    await asyncio.gather(*(client.create(POD, pod(title, node)) for title in titles))
    ready = [await watch.moment(title, "ready") - begun for title in titles]
    begun = time.perf_counter()
    await asyncio.gather(*(client.delete(POD, title, NAMESPACE) for title in titles))
    gone = [await watch.moment(title, "gone") - begun for title in titles]
    return ready, max(ready), max(gone)


class Floor:
    """The same pods through CRI alone: sandbox, container, start; then stop and remove."""

    def __init__(self, spec: Spec, paths: Paths, node: str) -> None:
        self._cri = CriClient(paths.containerd_socket(node))
        self._logs = paths.node_state(node) / "bench-logs"
        self._cgroup = f"/{names.cgroup(spec.name, node)}/bench"

    async def close(self) -> None:
        """Drop the connection."""
        await self._cri.close()

    async def start(self) -> tuple[str, str]:
        """One pod; its sandbox and container ids."""
        title = f"floor-{uuid.uuid4().hex[:8]}"
        directory = self._logs / title
        Path(directory).mkdir(parents=True, exist_ok=True)
        sandbox_config = self._sandbox(title, directory)
        sandbox = await self._cri.run_sandbox(sandbox_config)
        config = pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name="main"),
            image=pb.ImageSpec(image=BUSYBOX),
            command=COMMAND,
            log_path="main.log",
            linux=pb.LinuxContainerConfig(
                resources=pb.LinuxContainerResources(cpu_shares=2),
                security_context=pb.LinuxContainerSecurityContext(seccomp=FILTER),
            ),
        )
        container = await self._cri.create_container(sandbox, config, sandbox_config)
        await self._cri.start_container(container)
        return sandbox, container

    def _sandbox(self, title: str, directory: Path) -> Any:
        return pb.PodSandboxConfig(
            metadata=pb.PodSandboxMetadata(name=title, uid=title, namespace="floor"),
            hostname=title,
            log_directory=str(directory),
            linux=pb.LinuxPodSandboxConfig(
                cgroup_parent=f"{self._cgroup}/{title}",
                security_context=pb.LinuxSandboxSecurityContext(seccomp=FILTER),
            ),
        )

    async def stop(self, sandbox: str, container: str) -> None:
        """End one pod and remove it."""
        await self._cri.stop_container(container, 1)
        await self._cri.stop_sandbox(sandbox)
        await self._cri.remove_container(container)
        await self._cri.remove_sandbox(sandbox)

    async def one_by_one(self, count: int) -> tuple[list[float], list[float]]:
        """Seconds to start and to stop each of `count` pods in turn."""
        starts, stops = [], []
        for _ in range(count):
            begun = time.perf_counter()
            made = await self.start()
            starts.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            await self.stop(*made)
            stops.append(time.perf_counter() - begun)
        return starts, stops

    async def burst(self, count: int) -> tuple[list[float], float, float]:
        """All at once: seconds for each, for the last, and to remove them all."""
        begun = time.perf_counter()
        each: list[float] = []

        async def one() -> tuple[str, str]:
            made = await self.start()
            each.append(time.perf_counter() - begun)
            return made

        made = await asyncio.gather(*(one() for _ in range(count)))
        last = max(each)
        begun = time.perf_counter()
        await asyncio.gather(*(self.stop(*ids) for ids in made))
        return each, last, time.perf_counter() - begun

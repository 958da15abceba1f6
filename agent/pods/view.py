"""What others may see of the runtime: the node status, the HTTPS server, the log rotation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent import podspec
from agent.cri.cache import RuntimeCache
from agent.cri.client import CriClient
from agent.cri.errors import CriError
from agent.cri.heard import LIST_SECONDS, QUICK_SECONDS, Heard
from agent.cri.model import Container, ExecResult, ImageInfo, RuntimeInfo
from agent.pods.pods import Pods
from agent.pods.worker import PodWorker
from agent.view import ContainerRef, ContainerUsage
from apimachinery.objects import Obj

# Upstream calls the runtime down when it could not be listed for this long.
_UNHEALTHY_SECONDS = 180.0
# Of a pod's status what scheduler and controllers write of its claims; the agent never does.
_OF_CLAIMS = ("resourceClaimStatuses", "extendedResourceClaimStatus", "nodeAllocatableResourceClaimStatuses")


class View:
    """The RuntimeView."""

    def __init__(self, runtime: CriClient, cache: RuntimeCache, pods: Pods, info: Heard[RuntimeInfo]) -> None:
        self._runtime = runtime
        self._cache = cache
        self._pods = pods
        self._started = time.monotonic()
        self._info = info
        self._sandbox_images: dict[str, str] = {}
        self._images = Heard(runtime.images, QUICK_SECONDS)
        self._stats = Heard(runtime.container_stats, LIST_SECONDS)

    def pods(self) -> list[Obj]:
        return [_shown(w) for w in self._pods.all() if podspec.name(w.pod) and not w.life.removed]

    def find_pod(self, namespace: str, name: str, uid: str = "") -> Obj | None:
        found = [
            worker
            for worker in self._pods.all()
            if (podspec.namespace(worker.pod), podspec.name(worker.pod)) == (namespace, name)
            and uid in ("", worker.uid)
        ]
        if not found:
            return None
        # A pod that took the place of another is the one that is meant, though the other is not cleaned away yet.
        return _shown(min(reversed(found), key=lambda w: w.life.removed))

    def containers(self, pod_uid: str) -> list[ContainerRef]:
        return [_ref(c) for c in self._cache.record(pod_uid).containers]

    def find_container(self, pod_uid: str, name: str, previous: bool = False) -> ContainerRef | None:
        runs = [c for c in self._cache.record(pod_uid).containers if c.name == name]
        index = 1 if previous else 0
        return _ref(runs[index]) if len(runs) > index else None

    def all_containers(self) -> list[ContainerRef]:
        return [_ref(c) for c in self._cache.containers()]

    def sandbox_id(self, pod_uid: str) -> str | None:
        sandbox = self._cache.record(pod_uid).ready_sandbox
        return sandbox.id if sandbox else None

    async def sandbox_image(self, sandbox_id: str) -> str:
        if sandbox_id not in self._sandbox_images:
            there = {w.uid: self.sandbox_id(w.uid) for w in self._pods.all()}.values()
            self._sandbox_images = {each: image for each, image in self._sandbox_images.items() if each in there}
            try:
                self._sandbox_images[sandbox_id] = await self._runtime.sandbox_image(sandbox_id)
            except CriError:
                return ""
        return self._sandbox_images[sandbox_id]

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        return await self._runtime.exec_sync(container_id, command, timeout)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        return await self._runtime.exec_url(container_id, command, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        return await self._runtime.attach_url(container_id, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        return await self._runtime.port_forward_url(sandbox_id, ports)

    async def reopen_log(self, container_id: str) -> None:
        await self._runtime.reopen_log(container_id)

    async def checkpoint(self, container_id: str, location: Path, timeout: int) -> None:
        await self._runtime.checkpoint(container_id, location, timeout)

    async def usage(self) -> list[ContainerUsage]:
        found = []
        for item in await self._stats.get():
            container = self._cache.container(item.attributes.id)
            if container is not None:
                found.append(_usage(_ref(container), item))
        return found

    async def info(self) -> RuntimeInfo:
        return await self._info.get()

    def in_grace(self) -> bool:
        return self._info.in_grace

    async def images(self) -> list[ImageInfo]:
        return await self._images.get()

    def healthy(self) -> str:
        since = time.monotonic() - (self._cache.last_relist or self._started)
        if since > _UNHEALTHY_SECONDS:
            return f"PLEG is not healthy: pleg was last seen active {int(since)}s ago; threshold is 3m0s"
        return ""


def _shown(worker: PodWorker) -> Obj:
    """With the status as it is reported, and with what others say in it of the pod's claims."""
    told = worker.pod.get("status") or {}
    return {**worker.pod, "status": {**worker.status, **{key: told[key] for key in _OF_CLAIMS if key in told}}}


def _ref(container: Container) -> ContainerRef:
    return ContainerRef(
        id=container.id,
        name=container.name,
        pod_uid=container.pod_uid,
        state=container.state.value,
        log_path=Path(container.log_path),
        attempt=container.attempt,
        image=container.image,
    )


def _usage(ref: ContainerRef, item: Any) -> ContainerUsage:
    def value(holder: Any, name: str) -> int | None:
        return int(getattr(holder, name).value) if holder.HasField(name) else None

    cpu, memory, disk = item.cpu, item.memory, item.writable_layer
    return ContainerUsage(
        ref=ref,
        timestamp_ns=cpu.timestamp or memory.timestamp or time.time_ns(),
        cpu_usage_ns=value(cpu, "usage_core_nano_seconds"),
        cpu_nano_cores=value(cpu, "usage_nano_cores"),
        memory_working_set=value(memory, "working_set_bytes"),
        memory_usage=value(memory, "usage_bytes"),
        memory_rss=value(memory, "rss_bytes"),
        memory_page_faults=value(memory, "page_faults"),
        memory_major_page_faults=value(memory, "major_page_faults"),
        fs_used=value(disk, "used_bytes"),
        fs_inodes_used=value(disk, "inodes_used"),
    )

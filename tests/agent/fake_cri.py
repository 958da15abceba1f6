"""A container runtime in memory, with the opinions of a real one.

It refuses what containerd refuses: a name in use, a container in a sandbox that is down, a second start,
the removal of what runs. A container behaves as its image's tag says: `exit-CODE[-after-SECONDS][-oom]`
ends so, `createfail`, `startfail` and `pullfail` refuse that call, `absent` is not on the node,
`stubborn` ignores SIGTERM; anything else runs until stopped. `fail[method]` is raised by that call (a function
makes a new one each time), `hang` names calls that never answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.cri import names
from agent.cri.errors import CriError, CriNotFound
from agent.cri.messages import pb
from agent.cri.model import (
    Container,
    Credential,
    ExecResult,
    Image,
    ImageInfo,
    Limits,
    RuntimeEvent,
    RuntimeInfo,
    Sandbox,
    State,
)
from agent.cri.translate import listed_container

IMAGE_ID = "sha256:" + "1" * 64
_EXIT = re.compile(r"exit-(\d+)(?:-after-(\d+))?(-oom)?")


@dataclass
class Held:
    """A container as the fake knows it."""

    record: Container
    config: Any
    timer: asyncio.TimerHandle | None = None

    @property
    def tag(self) -> str:
        return str(self.config.image.user_specified_image).rpartition(":")[2]


class NotContainerd:
    """A runtime that is not containerd, and says so."""

    async def directories(self) -> None:
        return None


class FakeRuntime:
    def __init__(self, present: Callable[[str], bool] = lambda image: True) -> None:
        self.graces: list[int] = []
        self.sandboxes: dict[str, Sandbox] = {}
        self.sandbox_configs: dict[str, Any] = {}
        self.held: dict[str, Held] = {}
        self.calls: list[tuple[str, str]] = []
        self.used: dict[str, int] = {}
        """Bytes of memory, by container, that it tells figures of."""
        self.fail: dict[str, CriError | Callable[[], CriError]] = {}
        self.hang: set[str] = set()
        self.starting: set[str] = set()
        """Containers that an agent which is gone had asked to be started: nothing else can be done to them."""
        self.pulled: set[str] = set()
        self.exec_codes: dict[str, int] = {"false": 1, "true": 0}
        self.silent = False
        """Events are lost."""
        self.containerd = NotContainerd()
        self._present = present
        self._next = 0
        self._on_event: Callable[[RuntimeEvent], None] | None = None
        self._clock = 0

    # --- plumbing

    async def _call(self, method: str, subject: str) -> None:
        self.calls.append((method, subject))
        if method in self.hang:
            await asyncio.Event().wait()
        if method in self.fail:
            failure = self.fail[method]
            raise failure if isinstance(failure, CriError) else failure()
        await asyncio.sleep(0)

    def _id(self) -> str:
        self._next += 1
        return f"{self._next:064x}"

    def _now(self) -> int:
        # Strictly rising: two containers are never created in the same instant.
        self._clock = max(self._clock + 1, time.time_ns())
        return self._clock

    def _tell(self, event: RuntimeEvent) -> None:
        if self._on_event is not None and not self.silent:
            asyncio.get_running_loop().call_soon(self._on_event, event)

    async def follow(self, on_event: Callable[[RuntimeEvent], None], on_state: Callable[[bool], None]) -> None:
        self._on_event = on_event
        on_state(True)
        await asyncio.Event().wait()

    async def close(self) -> None: ...

    async def info(self) -> RuntimeInfo:
        await self._call("Status", "")
        return RuntimeInfo("fake", "1", True, True, "")

    # --- sandboxes

    async def takes_cdi(self) -> bool:
        return True

    async def run_sandbox(self, config: Any, runtime_handler: str = "") -> str:
        await self._call("RunPodSandbox", config.metadata.name)
        key = (config.metadata.uid, config.metadata.attempt)
        if key in {(s.uid, s.attempt) for s in self.sandboxes.values()}:
            raise CriError("RunPodSandbox", "Unknown", f"failed to reserve sandbox name {key}")
        host = config.linux.security_context.namespace_options.network == pb.NamespaceMode.NODE
        sandbox = Sandbox(
            id=self._id(),
            uid=config.metadata.uid,
            namespace=config.metadata.namespace,
            name=config.metadata.name,
            attempt=config.metadata.attempt,
            ready=True,
            created_at=self._now(),
            host_network=host,
            ips=() if host else ("10.1.2.3",),
        )
        self.sandboxes[sandbox.id] = sandbox
        self.sandbox_configs[sandbox.id] = config
        return sandbox.id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._call("StopPodSandbox", sandbox_id)
        if sandbox_id not in self.sandboxes:
            return
        for held in list(self.held.values()):
            if held.record.sandbox_id == sandbox_id and held.record.state is State.RUNNING:
                self.exit(held.record.id, 137)
        self.sandboxes[sandbox_id] = replace(self.sandboxes[sandbox_id], ready=False, ips=())

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._call("RemovePodSandbox", sandbox_id)
        if sandbox_id in self.sandboxes and self.sandboxes[sandbox_id].ready:
            raise CriError("RemovePodSandbox", "Unknown", "sandbox is not fully stopped")
        self.sandboxes.pop(sandbox_id, None)
        for container_id in [i for i, h in self.held.items() if h.record.sandbox_id == sandbox_id]:
            del self.held[container_id]

    async def list_sandboxes(self) -> list[Sandbox]:
        await self._call("ListPodSandbox", "")
        return [replace(s, ips=(), host_network=False) for s in self.sandboxes.values()]

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        await self._call("PodSandboxStatus", sandbox_id)
        if sandbox_id not in self.sandboxes:
            raise CriNotFound("PodSandboxStatus", "NotFound", "no such sandbox")
        return self.sandboxes[sandbox_id]

    # --- containers

    async def create_container(self, sandbox_id: str, config: Any, sandbox_config: Any) -> str:
        await self._call("CreateContainer", config.metadata.name)
        if sandbox_id not in self.sandboxes or not self.sandboxes[sandbox_id].ready:
            raise CriError("CreateContainer", "Unknown", f"sandbox {sandbox_id} is not running")
        if config.image.user_specified_image.endswith(":createfail"):
            raise CriError("CreateContainer", "Unknown", "fake create failure")
        taken = {(h.record.pod_uid, h.record.name, h.config.metadata.attempt) for h in self.held.values()}
        listed = listed_container(
            pb.Container(
                id=self._id(),
                pod_sandbox_id=sandbox_id,
                metadata=config.metadata,
                image=config.image,
                image_ref=IMAGE_ID,
                state=pb.ContainerState.CONTAINER_CREATED,
                created_at=self._now(),
                labels=config.labels,
                annotations=config.annotations,
            )
        )
        if (listed.pod_uid, listed.name, config.metadata.attempt) in taken:
            raise CriError("CreateContainer", "Unknown", f"failed to reserve container name {listed.name}")
        last_words = config.annotations.get(names.CONTAINER_TERMINATION_PATH)
        file = next((m.host_path for m in config.mounts if m.container_path == last_words), "")
        record = replace(listed, image=IMAGE_ID, image_id=IMAGE_ID, termination_host_path=file)
        self.held[record.id] = Held(record, config)
        return record.id

    async def start_container(self, container_id: str) -> None:
        held = self._get("StartContainer", container_id)
        await self._call("StartContainer", held.record.name)
        if held.record.state is not State.CREATED:
            raise CriError("StartContainer", "Unknown", "container is in CONTAINER_RUNNING state")
        if held.tag == "startfail":
            now = self._now()
            held.record = replace(
                held.record,
                state=State.EXITED,
                exit_code=128,
                reason="StartError",
                message="",
                started_at=now,
                finished_at=now,
            )
            raise CriError("StartContainer", "Unknown", "fake start failure")
        held.record = replace(held.record, state=State.RUNNING, started_at=self._now())
        self._tell(RuntimeEvent(container_id))
        if match := _EXIT.fullmatch(held.tag):
            reason = "OOMKilled" if match[3] else ""
            held.timer = asyncio.get_running_loop().call_later(
                float(match[2] or 0), self.exit, container_id, int(match[1]), reason
            )

    def exit(self, container_id: str, code: int, reason: str = "") -> None:
        """The process ends by itself."""
        held = self.held.get(container_id)
        if held is None or held.record.state is not State.RUNNING:
            return
        reason = reason or ("Completed" if code == 0 else "Error")
        held.record = replace(held.record, state=State.EXITED, exit_code=code, reason=reason, finished_at=self._now())
        self._tell(RuntimeEvent(container_id, exited=True))

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        await self._call("StopContainer", self.name(container_id))
        self.graces.append(grace_seconds)
        held = self.held.get(container_id)
        if held is None or held.record.state is not State.RUNNING:
            return
        if held.tag == "stubborn":
            await asyncio.sleep(grace_seconds)
            self.exit(container_id, 137)
        else:
            self.exit(container_id, 0)

    async def remove_container(self, container_id: str) -> None:
        await self._call("RemoveContainer", self.name(container_id))
        if container_id in self.starting:
            raise CriError("RemoveContainer", "Unknown", "container is in starting state, can't be removed")
        self.held.pop(container_id, None)
        self._tell(RuntimeEvent(container_id, gone=True))

    def name(self, container_id: str) -> str:
        return self.held[container_id].record.name if container_id in self.held else container_id

    def _get(self, method: str, container_id: str) -> Held:
        if container_id not in self.held:
            raise CriNotFound(method, "NotFound", f"no such container {container_id}")
        return self.held[container_id]

    async def list_containers(self) -> list[Container]:
        await self._call("ListContainers", "")
        return [h.record for h in self.held.values()]

    async def container(self, container_id: str) -> Container:
        await self._call("ContainerStatus", self.name(container_id))
        return replace(self._get("ContainerStatus", container_id).record, sandbox_id="")

    async def update_container(self, container_id: str, resources: Any) -> None:
        """From then on it says what the container is held to, as one does that tells at all."""
        held = self._get("UpdateContainerResources", container_id)
        await self._call("UpdateContainerResources", held.record.name)
        limits = Limits(resources.cpu_shares, resources.cpu_quota, resources.memory_limit_in_bytes)
        held.record = replace(held.record, limits=limits)

    async def container_stats(self) -> list[Any]:
        await self._call("ListContainerStats", "")
        return [
            pb.ContainerStats(
                attributes=pb.ContainerAttributes(id=key, metadata=pb.ContainerMetadata(name=held.record.name)),
                memory=pb.MemoryUsage(usage_bytes=pb.UInt64Value(value=self.used[held.record.name])),
            )
            for key, held in self.held.items()
            if held.record.name in self.used
        ]

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        await self._call("ExecSync", " ".join(command))
        if self._get("ExecSync", container_id).record.state is not State.RUNNING:
            raise CriError("ExecSync", "Unknown", "container is in CONTAINER_EXITED state")
        return ExecResult(b"", b"", self.exec_codes.get(command[0], 0))

    # --- images

    async def image(self, image: str) -> Image | None:
        await self._call("ImageStatus", image)
        tag = image.rpartition(":")[2]
        here = image in self.pulled or (tag not in ("absent", "pullfail") and self._present(image))
        return Image(IMAGE_ID, 0) if here else None

    async def pull(self, image: str, credential: Credential | None, sandbox_config: Any) -> str:
        await self._call("PullImage", image)
        if image.endswith((":pullfail", ":absent")):
            raise CriNotFound("PullImage", "NotFound", "fake: image not found")
        self.pulled.add(image)
        return IMAGE_ID

    async def images(self) -> list[ImageInfo]:
        return []

    # --- for tests

    def running(self) -> list[str]:
        return sorted(h.record.name for h in self.held.values() if h.record.state is State.RUNNING)

    def count(self, method: str) -> int:
        return sum(1 for name, _ in self.calls if name == method)

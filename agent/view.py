"""What of the runtime is shown to the node's status, the HTTPS server and the log rotation: `pods.view` shows it.

Container ids are the runtime's own, without the `containerd://` scheme that pod statuses carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.cri.model import ExecResult, ImageInfo, RuntimeInfo
from apimachinery.objects import Obj


@dataclass(frozen=True)
class ContainerRef:
    """A container the server or the log rotation may act on."""

    id: str
    name: str
    pod_uid: str
    state: str  # "created" | "running" | "exited" | "unknown"
    log_path: Path
    attempt: int
    image: str = ""


@dataclass(frozen=True)
class ContainerUsage:
    """Figures of one container; None where the runtime does not say. Bytes, nanoseconds."""

    ref: ContainerRef
    timestamp_ns: int
    cpu_usage_ns: int | None
    cpu_nano_cores: int | None
    memory_working_set: int | None
    memory_usage: int | None
    memory_rss: int | None
    memory_page_faults: int | None
    memory_major_page_faults: int | None
    fs_used: int | None
    fs_inodes_used: int | None


class RuntimeView(Protocol):
    """What the runtime shows to the node status, the HTTPS server and the log rotation."""

    def pods(self) -> list[Obj]:
        """Every pod this node has, with the status as the agent knows it now (newer than the API's)."""

    def find_pod(self, namespace: str, name: str, uid: str = "") -> Obj | None:
        """The pod of that name, with its status; of several the one that took the others' place."""

    def containers(self, pod_uid: str) -> list[ContainerRef]:
        """Every container of the pod still known to the runtime, newest attempt first per name."""

    def find_container(self, pod_uid: str, name: str, previous: bool = False) -> ContainerRef | None:
        """The newest (or the one before it) container of that name."""

    def all_containers(self) -> list[ContainerRef]: ...

    def sandbox_id(self, pod_uid: str) -> str | None:
        """The ready sandbox."""

    async def sandbox_image(self, sandbox_id: str) -> str:
        """The image that it was made of; "" where the runtime does not say."""

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult: ...

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        """URL of the CRI streaming server (http://127.0.0.1:port/exec/TOKEN)."""

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str: ...

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str: ...

    async def reopen_log(self, container_id: str) -> None:
        """After the log file was renamed (CRI ReopenContainerLog)."""

    async def checkpoint(self, container_id: str, location: Path, timeout: int) -> None:
        """Have the container written to a file; `timeout` in seconds, where more than usual. Raises CriError."""

    async def usage(self) -> list[ContainerUsage]: ...

    async def info(self) -> RuntimeInfo:
        """What the runtime says of itself, or said less than 30 s ago. Raises where it said nothing for longer."""

    def in_grace(self) -> bool:
        """Whether a runtime that does not answer has not been silent for 30 s yet: no reason to call it down."""

    async def images(self) -> list[ImageInfo]: ...

    def healthy(self) -> str:
        """ "" or why the sync loop is unhealthy (for /healthz and the Ready condition)."""

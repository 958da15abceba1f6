"""What the runtime says and is told, as frozen records. Times are nanoseconds since the epoch, 0 where unset."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

# What containerd says of a container whose process it knows nothing about.
UNKNOWN_EXIT_CODE = 255


class State(enum.Enum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sandbox:
    id: str
    uid: str
    namespace: str
    name: str
    attempt: int
    ready: bool
    created_at: int
    host_network: bool = False
    ips: tuple[str, ...] = ()
    network_lost: str = ""
    """What of its network is gone from the kernel, which the runtime does not know; empty: nothing."""


@dataclass(frozen=True)
class Limits:
    """What a cgroup is held to: cpu_quota in µs a period of 100 ms and memory in bytes; 0 is no limit."""

    cpu_shares: int
    cpu_quota: int
    memory: int


@dataclass(frozen=True)
class Container:
    id: str
    sandbox_id: str
    pod_uid: str
    pod_namespace: str
    pod_name: str
    name: str
    attempt: int
    state: State
    created_at: int
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_ref: str = ""
    image_id: str = ""
    hash: str = ""
    log_path: str = ""
    termination_host_path: str = ""
    recursive_mounts: frozenset[str] = frozenset()
    """Where in the container mounts are read-only with all below them."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    limits: Limits | None = None
    """What the runtime says it is held to; None where it does not say."""
    cut_off: bool = False
    """Its start was: the runtime calls it exited, and its state here is CREATED."""

    @property
    def listed_as(self) -> State:
        """Its state in the runtime's lists, which say nothing of how it came to be."""
        return State.EXITED if self.cut_off else self.state

    @property
    def running(self) -> bool:
        return self.state is State.RUNNING

    @property
    def stillborn(self) -> bool:
        """Made and never run: its maker, or the runtime, ended between the two. No restart, whatever comes next."""
        lost = self.state is State.UNKNOWN and self.exit_code == UNKNOWN_EXIT_CODE and not self.started_at
        return lost or self.state is State.CREATED


@dataclass(frozen=True)
class Image:
    """`uid`/`user`: whom the image runs as; a number, or a name, or neither (root)."""

    id: str
    uid: int | None = None
    user: str = ""
    size: int = 0
    """Bytes on the node's disk."""


@dataclass(frozen=True)
class PodRecord:
    """Everything the runtime holds of one pod: newest first."""

    uid: str
    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    def newest(self, name: str) -> Container | None:
        return next((c for c in self.containers if c.name == name), None)

    def within(self, sandbox_id: str) -> PodRecord:
        """Only what belongs to one sandbox."""
        return PodRecord(
            self.uid,
            tuple(s for s in self.sandboxes if s.id == sandbox_id),
            tuple(c for c in self.containers if c.sandbox_id == sandbox_id),
        )

    def ever_run(self) -> PodRecord:
        """Without the containers that never ran."""
        if not any(c.stillborn for c in self.containers):
            return self
        return replace(self, containers=tuple(c for c in self.containers if not c.stillborn))

    @property
    def ready_sandbox(self) -> Sandbox | None:
        return next((s for s in self.sandboxes if s.ready), None)

    @property
    def running(self) -> tuple[Container, ...]:
        return tuple(c for c in self.containers if c.state is State.RUNNING)


@dataclass(frozen=True)
class RuntimeEvent:
    """Something happened to a container or a sandbox: ask the runtime what."""

    id: str
    gone: bool = False
    """The object was removed."""
    exited: bool = False
    """The process ended; the runtime's own record may lag a few milliseconds behind."""


@dataclass(frozen=True)
class ExecResult:
    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True)
class RuntimeHandler:
    """One way the runtime offers to run pods (CRI RuntimeHandler); the default one's name is empty."""

    name: str
    recursive_read_only: bool = False
    user_namespaces: bool = False


_CONTAINERD_MOUNTS_IMAGES = (2, 1)


@dataclass(frozen=True)
class RuntimeInfo:
    """What the node object says about the runtime."""

    name: str  # "containerd"
    version: str  # "1.6.20"
    ready: bool  # RuntimeReady
    network_ready: bool  # NetworkReady
    message: str  # why not, upstream's "container runtime network not ready: ..." body
    handlers: tuple[RuntimeHandler, ...] = ()
    """Empty from a runtime that does not say (containerd before 2.0)."""
    strict_groups: bool | None = None
    """It can keep the image's groups out (supplementalGroupsPolicy Strict); None: it does not say."""

    @property
    def mounts_images(self) -> bool:
        """Whether it takes images as volumes (KEP-4639). CRI has no word for that: what is not known to be too old is
        tried."""
        numbers = tuple(map(int, re.findall(r"\d+", self.version)[:2]))
        return self.name != "containerd" or not numbers or numbers >= _CONTAINERD_MOUNTS_IMAGES


@dataclass(frozen=True)
class ImageInfo:
    names: tuple[str, ...]  # digests, then tags
    size: int  # bytes


@dataclass(frozen=True)
class Mount:
    container_path: str
    host_path: str
    read_only: bool = False
    propagation: str = "None"  # None | HostToContainer | Bidirectional, as in volumeMounts
    recursive_read_only: bool = False
    selinux_relabel: bool = False
    image: str = ""  # image volume: the reference; host_path is then empty
    image_sub_path: str = ""


@dataclass(frozen=True)
class Credential:
    """One way to log in to a registry (CRI AuthConfig)."""

    username: str = ""
    password: str = ""
    auth: str = ""
    server_address: str = ""
    identity_token: str = ""
    registry_token: str = ""

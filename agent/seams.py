"""What the parts of the agent hand to each other.

Only frozen data, protocols and their errors live here, so that every part can be read and tested against this
page alone. API objects are plain dictionaries (``Obj``); container ids are the runtime's own, without the
``containerd://`` scheme that pod statuses carry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from apimachinery.objects import Obj

# --- sources -> runtime ---------------------------------------------------------------------------------


class PodSink(Protocol):
    """Where sources deliver. Calls are synchronous and cheap; they must be made on the event loop."""

    def set_pod(self, source: str, pod: Obj) -> None:
        """The pod is desired (new, changed, or with ``deletionTimestamp`` set: terminate it gracefully)."""

    def remove_pod(self, source: str, uid: str) -> None:
        """The pod is gone from its source: whatever still runs is stopped and cleaned."""

    def set_mirror(self, mirror: Obj) -> None:
        """A mirror pod (annotation ``kubernetes.io/config.mirror``) seen in the API: never run, only
        tracked."""

    def remove_mirror(self, mirror: Obj) -> None:
        """A mirror pod left the API."""

    def synced(self, source: str) -> None:
        """The source has delivered everything it knows. Nothing unknown is cleaned before every source did."""


class PodSource(Protocol):
    """Produces desired pods: ``api`` or ``file``. Static pods arrive complete: uid, node suffix in the name,
    ``kubernetes.io/config.{source,hash,seen}`` annotations, ``spec.nodeName``."""

    name: str

    async def run(self, sink: PodSink) -> None:
        """Deliver until cancelled; reconnects by itself."""


# --- volumes, environment, credentials -> runtime ---------------------------------------------------------


class NotNow(Exception):
    """Something the pod asks for cannot be had. ``settling``: the API server does not give or not know it, which just
    after a pod was bound may only take it a moment: the user is not told at once."""

    def __init__(self, text: str, *, settling: bool = False) -> None:
        super().__init__(text)
        self.settling = settling


class VolumeError(NotNow):
    """A volume is not ready: event FailedMount with this text, retried with back-off."""


class HandlerError(Exception):
    """The pod's RuntimeClass leads to no runtime handler; the text is the user's."""


class ConfigError(NotNow):
    """The container cannot be configured (missing key, bad field path): reason CreateContainerConfigError."""


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


class VolumeHost(Protocol):
    async def prepare(self, pod: Obj) -> None:
        """Make every volume of the pod ready on the host. Idempotent, called before each container start and
        when referenced objects change. Raises VolumeError."""

    async def mounts(self, pod: Obj, container: Obj, env: Mapping[str, str]) -> tuple[Mount, ...]:
        """volumeMounts of one container in order (``env`` expands subPathExpr). Raises
        VolumeError/ConfigError. /etc/hosts and the termination log are added by the runtime itself."""

    async def teardown(self, uid: str) -> None:
        """Unmount and remove everything of a pod, known or not (only <root_dir>/pods/<uid> says).
        Idempotent."""


class EnvBuilder(Protocol):
    async def build(self, pod: Obj, container: Obj, pod_ips: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Environment in CRI order: values, valueFrom, envFrom, service links, $(VAR) expanded. ``pod``'s
        status is current (hostIP, podIP). Raises ConfigError."""


@dataclass(frozen=True)
class Credential:
    """One way to log in to a registry (CRI AuthConfig)."""

    username: str = ""
    password: str = ""
    auth: str = ""
    server_address: str = ""
    identity_token: str = ""
    registry_token: str = ""


class CredentialSource(Protocol):
    async def credentials(self, pod: Obj, image: str) -> tuple[Credential, ...]:
        """Credentials from imagePullSecrets for the image, best match first; empty means anonymous."""


# --- runtime -> node, server, logs ----------------------------------------------------------------------


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


@dataclass(frozen=True)
class ImageInfo:
    names: tuple[str, ...]  # digests, then tags
    size: int  # bytes


@dataclass(frozen=True)
class ContainerRef:
    """A container the server or the log rotation may act on."""

    id: str
    name: str
    pod_uid: str
    state: str  # "created" | "running" | "exited" | "unknown"
    log_path: Path
    attempt: int


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

    def find_pod(self, namespace: str, name: str, uid: str = "") -> Obj | None: ...

    def containers(self, pod_uid: str) -> list[ContainerRef]:
        """Every container of the pod still known to the runtime, newest attempt first per name."""

    def find_container(self, pod_uid: str, name: str, previous: bool = False) -> ContainerRef | None:
        """The newest (or the one before it) container of that name."""

    def all_containers(self) -> list[ContainerRef]: ...

    def sandbox_id(self, pod_uid: str) -> str | None:
        """The ready sandbox."""

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult: ...

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        """URL of the CRI streaming server (http://127.0.0.1:port/exec/TOKEN)."""

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str: ...

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str: ...

    async def reopen_log(self, container_id: str) -> None:
        """After the log file was renamed (CRI ReopenContainerLog)."""

    async def usage(self) -> list[ContainerUsage]: ...

    async def info(self) -> RuntimeInfo:
        """What the runtime says of itself, or said less than 30 s ago. Raises where it said nothing for longer."""

    def in_grace(self) -> bool:
        """Whether a runtime that does not answer has not been silent for 30 s yet: no reason to call it down."""

    async def images(self) -> list[ImageInfo]: ...

    def healthy(self) -> str:
        """ "" or why the sync loop is unhealthy (for /healthz and the Ready condition)."""

"""containerd's own services, which share CRI's socket: what it keeps that CRI has no word for.

Another runtime answers Unimplemented. Field numbers: containerd `api/services/containers/v1`,
`api/services/leases/v1`, `api/services/tasks/v1`.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from agent.cri.channel import Channel
from agent.cri.errors import CriNotFound
from agent.cri.messages import pb
from agent.cri.wire import bytes_of, encode_text, fields, text_of

NAMESPACE = "k8s.io"
_SECONDS = 10.0
_HEADERS = (("containerd-namespace", NAMESPACE),)
# DeleteRequest.sync: the collection is over when the answer comes.
_SYNC = b"\x10\x01"
# KillRequest.signal.
_SIGKILL = b"\x18\x09"
_TASKS = "io.containerd.runtime.v2.task"
_RUNC = "/run/containerd/runc"


@dataclass(frozen=True)
class Directories:
    """Where containerd and what it starts keep their files."""

    socket: Path
    bundles: Path
    works: Path
    runc: tuple[Path, ...]
    """runc's states, one directory for each root that a runtime handler names."""
    snapshotter: str = "overlayfs"
    """Its name."""
    records: tuple[Path, ...] = ()
    """Where CRI keeps a directory for each container and sandbox, by its id."""
    scratch: Path | None = None
    """Where containerd mounts a snapshot for a moment."""
    networks: Path | None = None
    """Where sandboxes' network namespaces are kept; None where other runtimes keep theirs there, too."""


@dataclass(frozen=True)
class Lease:
    """What keeps content and snapshots of an operation under way from being collected. `created`: epoch seconds."""

    id: str
    created: float


class Containerd:
    """Calls raise CriError."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def directories(self) -> Directories | None:
        """As the runtime says; None where it does not, being another runtime."""
        request = pb.StatusRequest(verbose=True)
        path = "/runtime.v1.RuntimeService/Status"
        answer = await self._channel.call(path, request, pb.StatusResponse.FromString, _SECONDS)
        try:
            config = json.loads(answer.info["config"])
            state, root = Path(config["stateDir"]).parent, Path(config["containerdRootDir"])
            own = config.get("containerd") or {}
            handlers = own.get("runtimes") or {}
        except (KeyError, ValueError, TypeError):
            return None
        roots = {str((h.get("options") or {}).get("Root") or _RUNC) for h in handlers.values()} or {_RUNC}
        return Directories(
            socket=self._channel.socket,
            bundles=state / _TASKS / NAMESPACE,
            works=root / _TASKS / NAMESPACE,
            runc=tuple(Path(each) / NAMESPACE for each in sorted(roots)),
            snapshotter=str(own.get("snapshotter") or "overlayfs"),
            records=tuple(
                Path(config[top], kind)
                for top in ("stateDir", "rootDir")
                if config.get(top)
                for kind in ("containers", "sandboxes")
            ),
            scratch=root / "tmpmounts",
            networks=Path(config["stateDir"], "netns") if config.get("netnsMountsUnderStateDir") else None,
        )

    async def containers(self) -> frozenset[str]:
        """Ids of all containers and sandboxes in its metadata, also those that are just being made."""
        answer = await self._call("containers.v1.Containers/List", b"")
        return frozenset(text_of(fields(item), 1) for item in bytes_of(fields(answer), 1))

    async def networks(self) -> frozenset[str]:
        """Paths of the network namespaces that any of them names."""
        answer = await self._call("containers.v1.Containers/List", b"")
        found = set()
        for item in bytes_of(fields(answer), 1):
            for spec in bytes_of(fields(item), 5):
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    listed = json.loads(next(iter(bytes_of(fields(spec), 2)), b""))["linux"]["namespaces"]
                    found |= {each.get("path", "") for each in listed if each.get("type") == "network"}
        return frozenset(found - {""})

    async def kill(self, task: str) -> None:
        """SIGKILL to the first process of a container or sandbox, whose network stays."""
        with contextlib.suppress(CriNotFound):
            await self._call("tasks.v1.Tasks/Kill", encode_text(1, task) + _SIGKILL)

    async def leases(self) -> tuple[Lease, ...]:
        answer = await self._call("leases.v1.Leases/List", b"")
        return tuple(Lease(text_of(fields(item), 1), _moment(item, 2)) for item in bytes_of(fields(answer), 1))

    async def collect_garbage(self, leases: tuple[Lease, ...], snapshotter: str) -> None:
        """Delete the leases, and have what nothing refers to any more collected: by itself containerd does that after a
        hundred changes. It looks at a snapshotter only after a snapshot of it was removed in its own lifetime, so what
        it was killed over would stay until the next pod goes: a snapshot is made and removed for that."""
        mark = f"wherry-{secrets.token_hex(8)}"
        snapshot = encode_text(1, snapshotter) + encode_text(2, mark)
        await self._call("leases.v1.Leases/Create", encode_text(1, mark))
        try:
            for lease in leases:
                await self._call("leases.v1.Leases/Delete", encode_text(1, lease.id))
            await self._call("snapshots.v1.Snapshots/Prepare", snapshot)
            with contextlib.suppress(CriNotFound):
                await self._call("snapshots.v1.Snapshots/Remove", snapshot)
        finally:
            await self._call("leases.v1.Leases/Delete", encode_text(1, mark) + _SYNC)

    async def _call(self, method: str, request: bytes) -> bytes:
        return await self._channel.call(f"/containerd.services.{method}", request, bytes, _SECONDS, headers=_HEADERS)


def server_pid(path: Path) -> int:
    """The process that listens at a unix socket; 0 where that cannot be told. Blocks for microseconds."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(path))
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return 0
    pid: int = struct.unpack("3i", raw)[0]
    return pid


def _moment(message: bytes, number: int) -> float:
    """A google.protobuf.Timestamp as seconds since the epoch."""
    stamp = dict(fields(next(iter(bytes_of(fields(message), number)), b"")))
    seconds, nanos = stamp.get(1, 0), stamp.get(2, 0)
    return float(seconds) + float(nanos) / 1e9 if isinstance(seconds, int) and isinstance(nanos, int) else 0.0

"""Everything on a node that exists because of a pod, asked of the kernel and the disk: no daemon is believed.

A daemon that was killed knows nothing of what it was about to write down; that is what is looked for here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit import command
from lab import cgroups, names, processes
from lab.paths import Paths

# Inside its directories containerd keeps a few of its own.
_OWN = {"lost+found", "metadata.db", "temp"}
_POD = re.compile(r"/kubepods(/burstable|/besteffort)?/pod[^/]+")


@dataclass(frozen=True)
class Place:
    """A node of a lab."""

    paths: Paths
    node: str

    @property
    def cri(self) -> str:
        return "io.containerd.grpc.v1.cri"


Thing = tuple[str, str]
"""What it is, and its name."""
_LOOKS_AT_MOST = 100


async def inventory(place: Place) -> set[Thing]:
    """Everything there is now. A look at what goes just then is begun anew."""
    last: OSError | None = None
    for _ in range(_LOOKS_AT_MOST):
        try:
            found = {(kind, name) for kind, look in _LOOKS.items() for name in look(place)}
            return found | {("link", name) for name in await _links(place)}
        except (FileNotFoundError, ProcessLookupError) as error:
            last = error
        await asyncio.sleep(0.01)
    raise RuntimeError(f"{place.node}: something went at each of {_LOOKS_AT_MOST} looks, last: {last}") from last


def _entries(*directories: Path) -> list[str]:
    return [str(e) for d in directories if d.is_dir() for e in d.iterdir() if e.name not in _OWN]


def _shims(place: Place) -> Iterable[str]:
    socket = place.paths.containerd_socket(place.node)
    found = {pid: processes.arguments(pid) for pid in processes.daemons_of(socket)}
    # One that has ended meanwhile has none.
    return (f"{words[-1]} (pid {pid})" for pid, words in found.items() if words)


def _bundles(place: Place) -> Iterable[str]:
    run, state = place.paths.node_run(place.node), place.paths.node_state(place.node)
    tasks = "io.containerd.runtime.v2.task/k8s.io"
    return _entries(run / "containerd" / tasks, state / "containerd" / tasks)


def _records(place: Place) -> Iterable[str]:
    run, state = place.paths.node_run(place.node), place.paths.node_state(place.node)
    tops = (run / "containerd" / place.cri, state / "containerd" / place.cri)
    return _entries(*(top / kind for top in tops for kind in ("sandboxes", "containers")))


def _snapshots(place: Place) -> Iterable[str]:
    state = place.paths.node_state(place.node) / "containerd"
    return _entries(state / "io.containerd.snapshotter.v1.overlayfs/snapshots", state / "tmpmounts")


def _cgroups(place: Place) -> Iterable[str]:
    tops = cgroups.directories(names.cgroup(place.paths.lab, place.node))
    return [str(d) for top in tops for d in top.glob("**/") if _POD.search(str(d))]


def _files(place: Place) -> Iterable[str]:
    state = place.paths.node_state(place.node)
    return _entries(state / "pod-logs", state / "agent/pods")


def _addresses(place: Place) -> Iterable[str]:
    top = place.paths.node_run(place.node) / "cni/networks"
    return [str(f) for f in top.rglob("*") if f.is_file() and not f.name.startswith(("last_reserved_ip", "lock", "."))]


def _namespaces(place: Place) -> Iterable[str]:
    return _entries(place.paths.node_run(place.node) / "containerd" / place.cri / "netns")


def _remains(place: Place) -> Iterable[str]:
    """What lies at places that containerd's parts have fixed names for: the node's own of each."""
    own = place.paths.node_run(place.node) / "own"
    return [str(f) for f in own.rglob("*") if not f.is_dir()]


def _mounts(place: Place) -> Iterable[str]:
    """In the node's mount namespace, below its directories."""
    tops = (str(place.paths.node_run(place.node)) + "/", str(place.paths.node_state(place.node)) + "/")
    for pid in processes.daemons_of(place.paths.node_state(place.node) / "containerd.toml"):
        lines = Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8").splitlines()
        return sorted({point for line in lines if (point := line.split()[4]).startswith(tops)})
    return []


async def _links(place: Place) -> Iterable[str]:
    space = f"--net=/run/netns/{names.namespace(place.paths.lab, place.node)}"
    argv = ["nsenter", space, "ip", "-o", "link", "show", "type", "veth"]
    lines = (await command.run(argv, timeout=10.0)).stdout.decode().splitlines()
    return [line.split()[1] for line in lines if " eth0@" not in line]


_LOOKS: dict[str, Callable[[Place], Iterable[str]]] = {
    "shim": _shims,
    "bundle": _bundles,
    "record": _records,
    "runc state": lambda place: _entries(place.paths.node_run(place.node) / "runc/k8s.io"),
    "snapshot": _snapshots,
    "cgroup": _cgroups,
    "pod files": _files,
    "address": _addresses,
    "namespace": _namespaces,
    "fixed place": _remains,
    "mount": _mounts,
}

__all__ = ["Place", "Thing", "inventory"]

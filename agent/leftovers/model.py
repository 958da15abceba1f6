"""What is seen of containers, and what of it is to go, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.cri.containerd import Lease


@dataclass(frozen=True)
class Shim:
    pid: int
    container_id: str


@dataclass(frozen=True)
class Traces:
    """Ids of containers by what there is of them, and sockets at which nobody listens."""

    shims: tuple[Shim, ...] = ()
    bundles: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    dead_sockets: tuple[Path, ...] = ()
    scratch: tuple[tuple[Path, float], ...] = ()
    """Directories that containerd mounts snapshots at for a moment, and when each was made (epoch seconds)."""
    networks: tuple[tuple[Path, float], ...] = ()
    """The same of network namespaces."""
    records: tuple[tuple[Path, float], ...] = ()
    """The same of CRI's directories of containers and sandboxes, which are named by their ids."""

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(s.container_id for s in self.shims) | self.bundles | self.states


@dataclass(frozen=True)
class Removal:
    """What is to go."""

    ids: tuple[str, ...] = ()
    """Containers: their processes, cgroups, states and bundles."""
    shims: tuple[Shim, ...] = ()
    sockets: tuple[Path, ...] = ()
    leases: tuple[Lease, ...] = ()
    scratch: tuple[Path, ...] = ()
    networks: tuple[Path, ...] = ()
    records: tuple[Path, ...] = ()

"""What a kind of volume has to say: where a volume lies, what makes it ready, and what must be done before it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.objects.cache import Objects
from apimachinery.objects import Obj


@dataclass(frozen=True)
class Volume:
    """One of a pod's volumes: `kind` is the field of its source, `source` what stands there."""

    name: str
    kind: str
    source: Mapping[str, Any]
    read_only: bool = False
    """Containers get it read only, whatever they ask for."""


@dataclass(frozen=True)
class Place:
    """What of a pod its volumes are planned from. `memory_limit` in bytes, 0: none."""

    directory: Path
    memory_limit: int = 0


@dataclass(frozen=True)
class VolumePlan:
    """One volume made ready. `path` is None where the runtime brings it (`image`: the reference)."""

    name: str
    kind: str
    source: Mapping[str, Any]
    path: Path | None
    memory: bool = False
    """It is a tmpfs, of `size` bytes (0: any)."""
    size: int = 0
    image: str = ""
    read_only: bool = False
    """Containers get it read only, whatever they ask for."""


class Plugin:
    """One kind of volume; as it stands, a directory of the pod's own that is there already."""

    kind: str
    """The field of a pod's volume that names the source."""
    directory: str = ""
    """Of the plugin, under the pod's `volumes/`: other tools on a node expect it."""
    memory: bool = False
    """Kept off the disk."""
    read_only: bool = False
    """Written by the agent alone."""

    async def resolve(self, pod: Obj, volume: Volume, objects: Objects) -> Volume:
        """The volume that is meant, where its source only refers to another. Raises VolumeError."""
        return volume

    def plan(self, volume: Volume, place: Place) -> VolumePlan:
        """Pure. Raises VolumeError for what this node cannot serve."""
        path = place.directory / "volumes" / self.directory / volume.name
        return VolumePlan(volume.name, self.kind, volume.source, path, memory=self.memory, read_only=self.read_only)

    async def set_up(self, pod: Obj, plan: VolumePlan, objects: Objects) -> None:
        """Make the volume ready, and show what its objects say now. Idempotent. Raises VolumeError or OSError."""

    async def tear_down(self, path: Path) -> None:
        """Before what lies at `path` is unmounted and removed. Nothing but the disk says what it was: the pod may be
        long gone. Raises VolumeError or OSError."""

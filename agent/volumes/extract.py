"""What a PodSpec says of volumes, as frozen values for the planner. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent import podspec
from agent.cri.model import RuntimeHandler
from agent.volumes.plugin import Place, Volume
from apimachinery.objects import Obj
from apimachinery.quantity import parse as parse_quantity

# What a volume without a source is.
_DEFAULT = "emptyDir"


@dataclass(frozen=True)
class VolumeMount:
    """One of a container's volumeMounts."""

    volume: str
    path: str
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: str = ""
    propagation: str = "None"
    recursive_read_only: str = "Disabled"


def volumes_of(pod: Obj) -> tuple[Volume, ...]:
    """The pod's volumes in order."""
    return tuple(_volume(volume) for volume in podspec.spec(pod).get("volumes") or ())


def _volume(volume: Obj) -> Volume:
    kind = next((key for key in volume if key != "name" and volume[key] is not None), _DEFAULT)
    return Volume(volume["name"], kind, volume.get(kind) or {})


def place_of(pod: Obj, directory: Path) -> Place:
    """`directory`: the pod's own."""
    return Place(directory, memory_limit(pod))


def memory_limit(pod: Obj) -> int:
    """Sum of the containers' memory limits in bytes, 0 where any has none."""
    whole = ((podspec.spec(pod).get("resources") or {}).get("limits") or {}).get("memory")
    if whole is not None:
        return parse_quantity(whole).value()
    total = 0
    for container in podspec.containers(pod):
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        if limit is None:
            return 0
        total += parse_quantity(limit).value()
    return total


def offers_recursive(pod: Obj, handlers: Iterable[RuntimeHandler]) -> bool:
    """Whether the runtime can make the pod's mounts read-only with all below them. A class leads to some handler: then
    all of them must."""
    able = {handler.name: handler.recursive_read_only for handler in handlers}
    if podspec.spec(pod).get("runtimeClassName"):
        return bool(able) and all(able.values())
    return able.get("", False)


def mounts_of(container: Obj) -> tuple[VolumeMount, ...]:
    """The container's volumeMounts in order."""
    return tuple(
        VolumeMount(
            volume=mount["name"],
            path=mount["mountPath"],
            read_only=bool(mount.get("readOnly")),
            sub_path=mount.get("subPath") or "",
            sub_path_expr=mount.get("subPathExpr") or "",
            propagation=mount.get("mountPropagation") or "None",
            recursive_read_only=mount.get("recursiveReadOnly") or "Disabled",
        )
        for mount in container.get("volumeMounts") or ()
    )

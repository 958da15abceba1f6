"""Which volumes a pod has, where they lie and how a container mounts them; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigError, VolumeError
from agent.expansion import expand_strictly
from apimachinery.objects import Obj
from apimachinery.quantity import parse as parse_quantity

# Volume source in the pod spec -> directory of its plugin under volumes/, as other tools on a node expect it.
PLUGINS = {
    "emptyDir": "kubernetes.io~empty-dir",
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
}
# Written by the agent alone, so containers get them read only.
_READ_ONLY = ("configMap", "secret", "downwardAPI", "projected")
# Kept off the disk.
_IN_MEMORY = ("secret", "downwardAPI", "projected")


@dataclass(frozen=True)
class VolumePlan:
    """One volume:

    Its source's kind and body, where it lies, whether it is a tmpfs and of what size (bytes, 0: any).
    """

    name: str
    kind: str
    source: Mapping[str, object]
    path: Path | None
    memory: bool = False
    size: int = 0
    image: str = ""


@dataclass(frozen=True)
class MountPlan:
    """One volumeMount; `sub_path` is expanded, empty where there is none."""

    volume: VolumePlan
    index: int
    container_path: str
    read_only: bool
    sub_path: str
    propagation: str
    recursive_read_only: bool = False


def plan_volumes(pod: Obj, pod_dir: Path) -> tuple[VolumePlan, ...]:
    """Every volume of the pod in order; raises VolumeError for kinds this node cannot serve."""
    limit = memory_limit(pod)
    return tuple(_volume(volume, pod_dir, limit) for volume in pod.get("spec", {}).get("volumes") or [])


def memory_limit(pod: Obj) -> int:
    """Sum of the containers' memory limits in bytes, 0 where any has none."""
    spec = pod.get("spec", {})
    whole = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
    if whole is not None:
        return parse_quantity(whole).value()
    total = 0
    for container in spec.get("containers") or []:
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        if limit is None:
            return 0
        total += parse_quantity(limit).value()
    return total


def plan_mounts(
    container: Obj, volumes: Mapping[str, VolumePlan], env: Mapping[str, str], *, recursive: bool = False
) -> tuple[MountPlan, ...]:
    """The container's volumeMounts in order; ``recursive``: the runtime can make a mount read-only with all below.
    Raises ConfigError."""
    return tuple(
        _mount(mount, index, container, volumes, env, recursive)
        for index, mount in enumerate(container.get("volumeMounts") or [])
    )


def fs_group(pod: Obj) -> int | None:
    """The group that owns the pod's volumes, if any."""
    group = (pod.get("spec", {}).get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def _volume(volume: Obj, pod_dir: Path, pod_limit: int) -> VolumePlan:
    name = volume["name"]
    kinds = [key for key in volume if key != "name" and volume[key] is not None]
    kind = kinds[0] if kinds else "emptyDir"
    source = volume.get(kind) or {}
    if kind == "hostPath":
        return VolumePlan(name, kind, source, Path(source["path"]))
    if kind == "image":
        return VolumePlan(name, kind, source, None, image=source.get("reference", ""))
    if kind not in PLUGINS:
        raise VolumeError(f'MountVolume.SetUp failed for volume "{name}" : no volume plugin matched for {kind}')
    path = pod_dir / "volumes" / PLUGINS[kind] / name
    if kind != "emptyDir":
        return VolumePlan(name, kind, source, path, memory=kind in _IN_MEMORY)
    medium = source.get("medium", "")
    if medium not in ("", "Memory"):
        raise VolumeError(f'MountVolume.SetUp failed for volume "{name}" : unknown storage medium "{medium}"')
    sizes = [pod_limit] if medium else []
    if source.get("sizeLimit"):
        sizes.append(parse_quantity(source["sizeLimit"]).value())
    return VolumePlan(name, kind, source, path, medium == "Memory", min((s for s in sizes if s > 0), default=0))


def _mount(
    mount: Obj,
    index: int,
    container: Obj,
    volumes: Mapping[str, VolumePlan],
    env: Mapping[str, str],
    recursive: bool,
) -> MountPlan:
    volume = volumes.get(mount["name"])
    if volume is None:
        raise ConfigError(f'cannot find volume "{mount["name"]}" to mount into container "{container["name"]}"')
    sub_path = mount.get("subPath", "")
    if mount.get("subPathExpr"):
        sub_path = expand_strictly(mount["subPathExpr"], env)
    if sub_path.startswith("/"):
        raise ConfigError(f"error SubPath `{sub_path}` must not be an absolute path")
    if ".." in sub_path.split("/"):
        raise ConfigError(f"unable to provision SubPath `{sub_path}`: must not contain '..'")
    path = mount["mountPath"]
    return MountPlan(
        volume=volume,
        index=index,
        container_path=path if path.startswith("/") else "/" + path,
        read_only=bool(mount.get("readOnly")) or volume.kind in _READ_ONLY,
        sub_path=sub_path,
        propagation=mount.get("mountPropagation", "None"),
        recursive_read_only=recursive_read_only(mount, supported=recursive),
    )


def recursive_read_only(mount: Obj, *, supported: bool) -> bool:
    """Whether what is mounted below is to be read-only, too (KEP-3857); ``supported`` by the pod's runtime handler.
    Raises ConfigError."""
    mode, name = mount.get("recursiveReadOnly") or "Disabled", mount["name"]
    if mode == "Disabled":
        return False
    asked = f'volume "{name}" requested recursive read-only mode, but it is not'
    if not mount.get("readOnly"):
        raise ConfigError(f"{asked} read-only")
    propagation = mount.get("mountPropagation") or "None"
    if propagation != "None":
        raise ConfigError(f'{asked} compatible with propagation "{propagation}"')
    if mode == "Enabled" and not supported:
        raise ConfigError(f"{asked} supported by the runtime")
    return supported

"""Where a pod's volumes lie and how a container mounts them; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from agent.expansion import expand_strictly
from agent.failures import ConfigError, VolumeError
from agent.volumes.extract import VolumeMount
from agent.volumes.plugin import Place, Plugin, Volume, VolumePlan


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


def plan_volumes(volumes: Iterable[Volume], place: Place, plugins: Mapping[str, Plugin]) -> tuple[VolumePlan, ...]:
    """Every volume in order; raises VolumeError for kinds that no plugin serves."""
    return tuple(_volume(volume, place, plugins) for volume in volumes)


def _volume(volume: Volume, place: Place, plugins: Mapping[str, Plugin]) -> VolumePlan:
    plugin = plugins.get(volume.kind)
    if plugin is None:
        raise not_set_up(volume.name, f"no volume plugin matched for {volume.kind}")
    try:
        planned = plugin.plan(volume, place)
        return replace(planned, read_only=True) if volume.read_only else planned
    except VolumeError as error:
        raise not_set_up(volume.name, error) from error


def not_set_up(volume: str, why: object, *, settling: bool = False) -> VolumeError:
    """A volume that is not ready, in upstream's words."""
    return VolumeError(f'MountVolume.SetUp failed for volume "{volume}" : {why}', settling=settling)


def plan_mounts(
    container: str,
    wanted: Iterable[VolumeMount],
    volumes: Mapping[str, VolumePlan],
    env: Mapping[str, str],
    *,
    recursive: bool = False,
) -> tuple[MountPlan, ...]:
    """The volumeMounts of the container of that name in order; `recursive`: the runtime can make a mount read-only
    with all below. Raises ConfigError."""
    return tuple(_mount(mount, index, container, volumes, env, recursive) for index, mount in enumerate(wanted))


def _mount(
    mount: VolumeMount,
    index: int,
    container: str,
    volumes: Mapping[str, VolumePlan],
    env: Mapping[str, str],
    recursive: bool,
) -> MountPlan:
    volume = volumes.get(mount.volume)
    if volume is None:
        raise ConfigError(f'cannot find volume "{mount.volume}" to mount into container "{container}"')
    sub_path = expand_strictly(mount.sub_path_expr, env) if mount.sub_path_expr else mount.sub_path
    if sub_path.startswith("/"):
        raise ConfigError(f"error SubPath `{sub_path}` must not be an absolute path")
    if ".." in sub_path.split("/"):
        raise ConfigError(f"unable to provision SubPath `{sub_path}`: must not contain '..'")
    return MountPlan(
        volume=volume,
        index=index,
        container_path=mount.path if mount.path.startswith("/") else "/" + mount.path,
        read_only=mount.read_only or volume.read_only,
        sub_path=sub_path,
        propagation=mount.propagation,
        recursive_read_only=recursive_read_only(mount, supported=recursive),
    )


def recursive_read_only(mount: VolumeMount, *, supported: bool) -> bool:
    """Whether what is mounted below is to be read-only, too (KEP-3857); `supported` by the pod's runtime handler.
    Raises ConfigError."""
    mode = mount.recursive_read_only
    if mode == "Disabled":
        return False
    asked = f'volume "{mount.volume}" requested recursive read-only mode, but it is not'
    if not mount.read_only:
        raise ConfigError(f"{asked} read-only")
    if mount.propagation != "None":
        raise ConfigError(f'{asked} compatible with propagation "{mount.propagation}"')
    if mode == "Enabled" and not supported:
        raise ConfigError(f"{asked} supported by the runtime")
    return supported

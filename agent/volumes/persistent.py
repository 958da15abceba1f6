"""Claims as volumes of a pod: the volume that a claim is bound to, mounted as its own kind is.

A local volume is bound to the pod's directory, as upstream's: so its files get the pod's group once a pod, and what the
pod leaves is taken away without the data.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent import podspec
from agent.failures import VolumeError
from agent.objects.cache import Objects
from agent.volumes import ownership
from agent.volumes.plugin import Plugin, Volume, VolumePlan
from apimachinery.kit import mounts
from apimachinery.objects import Obj, labels, name
from apimachinery.volumes import claims, matching

# Fields of a PersistentVolumeSpec that are no source.
_NO_SOURCE = {
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
}


class PersistentVolumeClaim(Plugin):
    """A claim; what it leads to is mounted by the plugin of that kind."""

    kind = "persistentVolumeClaim"

    async def resolve(self, pod: Obj, volume: Volume, objects: Objects) -> Volume:
        use = next(use for use in claims.uses(pod) if use.volume == volume.name)
        found = await objects.claims.volume(pod, use)
        spec = found["spec"]
        if matching.mode(found) == "Block" and _is_mounted(pod, volume.name):
            raise VolumeError(f"volume {volume.name} has volumeMode Block, but is specified in volumeMounts")
        node = objects.node()
        if node is not None and not matching.allows(found, matching.Place(name(node), labels(node))):
            raise VolumeError(
                f'MountVolume.NodeAffinity check failed for volume "{name(found)}" : no matching NodeSelectorTerms'
            )
        kind = next((field for field in spec if field not in _NO_SOURCE and spec[field] is not None), "")
        only_read = use.read_only or set(spec.get("accessModes") or ()) == {"ReadOnlyMany"}
        return Volume(volume.name, kind, spec.get(kind) or {}, read_only=only_read)


class Ephemeral(PersistentVolumeClaim):
    """A claim made for the pod (KEP-1698)."""

    kind = "ephemeral"


class Local(Plugin):
    """A directory of this node that a PersistentVolume names. Pods have none of their own."""

    kind = "local"
    directory = "kubernetes.io~local-volume"

    async def set_up(self, pod: Obj, plan: VolumePlan, objects: Objects) -> None:
        assert plan.path is not None
        if mounts.stacked(plan.path):
            return
        source = Path(plan.source["path"])
        if not source.exists():
            raise VolumeError(f'path "{source}" does not exist')
        if not source.is_dir():
            raise VolumeError(f'path "{source}" is no directory: block devices are not mounted')
        group = podspec.fs_group(pod)
        if group is not None and not plan.read_only:
            # It may hold millions of files, and nothing else on the node may wait for them.
            await asyncio.to_thread(own, source, group, podspec.fs_group_change_policy(pod))
        plan.path.mkdir(mode=0o750, parents=True, exist_ok=True)
        mounts.mount(str(source), plan.path, flags=mounts.MS_BIND)


def own(path: Path, group: int, policy: str) -> None:
    """Give a volume's files to the group; with OnRootMismatch only where its own directory is not the group's yet."""
    status = path.stat()
    mode = ownership.group_mode(status.st_mode, is_directory=True, read_only=False)
    if policy == "OnRootMismatch" and status.st_gid == group and status.st_mode & 0o7777 == mode:
        return
    ownership.own(path, group, read_only=False)


def _is_mounted(pod: Obj, volume: str) -> bool:
    found = (mount for c in podspec.all_containers(pod) for mount in c.get("volumeMounts") or ())
    return any(mount["name"] == volume for mount in found)

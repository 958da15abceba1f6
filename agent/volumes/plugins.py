"""The kinds of volumes this node serves: a row each, in one tuple. A new kind is a class here and its place in
`PLUGINS`; what is more than a few lines lies in a module beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from agent import podspec
from agent.failures import VolumeError
from agent.objects.cache import Objects
from agent.volumes import atomic, hostpath, ownership, sources
from agent.volumes.directory import make_directory
from agent.volumes.persistent import Ephemeral, Local, PersistentVolumeClaim
from agent.volumes.plugin import Place, Plugin, Volume, VolumePlan
from apimachinery.objects import Obj
from apimachinery.quantity import parse as parse_quantity


class EmptyDir(Plugin):
    """A directory that lives as long as the pod; with a medium of Memory a tmpfs."""

    kind = "emptyDir"
    directory = "kubernetes.io~empty-dir"

    def plan(self, volume: Volume, place: Place) -> VolumePlan:
        medium = volume.source.get("medium", "")
        if medium not in ("", "Memory"):
            raise VolumeError(f'unknown storage medium "{medium}"')
        sizes = [place.memory_limit] if medium else []
        if volume.source.get("sizeLimit"):
            sizes.append(parse_quantity(volume.source["sizeLimit"]).value())
        size = min((s for s in sizes if s > 0), default=0)
        return replace(super().plan(volume, place), memory=medium == "Memory", size=size)

    async def set_up(self, pod: Obj, plan: VolumePlan, objects: Objects) -> None:
        make_directory(plan, podspec.fs_group(pod), read_only=False)


class HostPath(Plugin):
    """A file or directory of the node's own."""

    kind = "hostPath"

    def plan(self, volume: Volume, place: Place) -> VolumePlan:
        return VolumePlan(volume.name, self.kind, volume.source, Path(volume.source["path"]))

    async def set_up(self, pod: Obj, plan: VolumePlan, objects: Objects) -> None:
        assert plan.path is not None
        hostpath.prepare(plan.path, str(plan.source.get("type") or ""))


class Image(Plugin):
    """The content of an image, which the runtime mounts (KEP-4639)."""

    kind = "image"

    def plan(self, volume: Volume, place: Place) -> VolumePlan:
        reference = volume.source.get("reference", "")
        return VolumePlan(volume.name, self.kind, volume.source, None, image=reference, read_only=True)


class Files(Plugin):
    """Files made of API objects; all of them change at once."""

    read_only = True

    async def set_up(self, pod: Obj, plan: VolumePlan, objects: Objects) -> None:
        assert plan.path is not None
        files = await sources.read(self.kind, pod, plan.source, objects)
        group = podspec.fs_group(pod)
        make_directory(plan, group, read_only=True)

        def own(directory: Path) -> None:
            if group is not None:
                ownership.own(directory, group, read_only=True)

        atomic.write(plan.path, files, own)


class ConfigMap(Files):
    kind = "configMap"
    directory = "kubernetes.io~configmap"


class Secret(Files):
    kind = "secret"
    directory = "kubernetes.io~secret"
    memory = True


class DownwardApi(Files):
    kind = "downwardAPI"
    directory = "kubernetes.io~downward-api"
    memory = True


class Projected(Files):
    kind = "projected"
    directory = "kubernetes.io~projected"
    memory = True


PLUGINS: tuple[Plugin, ...] = (
    EmptyDir(),
    ConfigMap(),
    Secret(),
    DownwardApi(),
    Projected(),
    HostPath(),
    Image(),
    PersistentVolumeClaim(),
    Ephemeral(),
    Local(),
)


def by_kind(plugins: tuple[Plugin, ...]) -> Mapping[str, Plugin]:
    return MappingProxyType({plugin.kind: plugin for plugin in plugins})

"""The applier: makes planned volumes real under <root_dir>/pods/<uid> and takes them away again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.cri.model import Mount, RuntimeInfo
from agent.failures import ConfigError, NotNow, VolumeError
from agent.host import paths
from agent.objects.cache import Objects
from agent.settings import AgentSettings
from agent.volumes import subpath
from agent.volumes.extract import mounts_of, offers_recursive, place_of, volumes_of
from agent.volumes.hostpath import HostPathError
from agent.volumes.payload import PayloadError
from agent.volumes.plan import MountPlan, not_set_up, plan_mounts, plan_volumes
from agent.volumes.plugin import Plugin, Volume, VolumePlan
from agent.volumes.plugins import PLUGINS, by_kind
from apimachinery.kit import files, mounts
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

_DIRECTORIES = ("volumes", "volume-subpaths")


class Volumes:
    """The volumes of every pod of this node."""

    def __init__(
        self,
        settings: AgentSettings,
        objects: Objects,
        runtime: Callable[[], RuntimeInfo | None] = lambda: None,
        plugins: tuple[Plugin, ...] = PLUGINS,
    ) -> None:
        """`runtime`: what the runtime last said of itself."""
        self._runtime = runtime
        self._root = settings.root_dir
        self._objects = objects
        self._plugins = by_kind(plugins)
        # By pod: a refresh must not write where a teardown removes.
        self._locks: dict[str, asyncio.Lock] = {}

    async def prepare(self, pod: Obj) -> None:
        """Every volume ready and showing what its objects say now; raises VolumeError."""
        async with self._lock(pod["metadata"]["uid"]):
            await self._prepare_all(pod)

    async def refresh(self, pod: Obj) -> None:
        """The same for a pod that has been prepared; nothing for one that has not, or is torn down."""
        uid = pod["metadata"]["uid"]
        if not self.prepared(uid):
            return
        async with self._lock(uid):
            # A teardown may have come first.
            if self.prepared(uid):
                await self._prepare_all(pod)

    def prepared(self, uid: str) -> bool:
        """Whether this pod has volumes on disk, by this agent or the one before it."""
        return (self._dir(uid) / "volumes").is_dir()

    async def mounts(self, pod: Obj, container: Obj, env: Mapping[str, str]) -> tuple[Mount, ...]:
        """The container's volumeMounts in order (`env` expands subPathExpr); raises VolumeError or ConfigError."""
        volumes = {plan.name: plan for plan in await self._plans(pod)}
        name, runtime = container["name"], self._runtime()
        recursive = runtime is not None and offers_recursive(pod, runtime.handlers)
        planned = plan_mounts(name, mounts_of(container), volumes, env, recursive=recursive)
        return tuple(self._mount(self._dir(pod["metadata"]["uid"]), name, plan) for plan in planned)

    async def teardown(self, uid: str) -> None:
        """Unmount and remove whatever the disk says this pod has; raises VolumeError where a mount will not go."""
        async with self._lock(uid):
            await self._tear_down(self._dir(uid) / "volumes")
            for name in _DIRECTORIES:
                await _remove(self._dir(uid) / name)
        self._locks.pop(uid, None)

    def _dir(self, uid: str) -> Path:
        return paths.pod_directory(self._root, uid)

    def _lock(self, uid: str) -> asyncio.Lock:
        return self._locks.setdefault(uid, asyncio.Lock())

    async def _plans(self, pod: Obj) -> tuple[VolumePlan, ...]:
        meant = [await self._resolve(pod, volume) for volume in volumes_of(pod)]
        return plan_volumes(meant, place_of(pod, self._dir(pod["metadata"]["uid"])), self._plugins)

    async def _resolve(self, pod: Obj, volume: Volume) -> Volume:
        plugin = self._plugins.get(volume.kind)
        try:
            return await plugin.resolve(pod, volume, self._objects) if plugin is not None else volume
        except VolumeError as error:
            raise not_set_up(volume.name, error, settling=error.settling) from error

    async def _prepare_all(self, pod: Obj) -> None:
        plans = await self._plans(pod)
        results = await asyncio.gather(*(self._set_up(pod, plan) for plan in plans), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, VolumeError):
                raise failure
        if failures:
            raise failures[0]

    async def _set_up(self, pod: Obj, plan: VolumePlan) -> None:
        try:
            await self._plugins[plan.kind].set_up(pod, plan, self._objects)
        except (HostPathError, PayloadError, OSError, VolumeError) as error:
            settling = isinstance(error, NotNow) and error.settling
            raise not_set_up(plan.name, error, settling=settling) from error

    async def _tear_down(self, directory: Path) -> None:
        """What the plugins have to say to volumes that are about to go."""
        for plugin in self._plugins.values():
            for path in (directory / plugin.directory).glob("*") if plugin.directory else ():
                try:
                    await plugin.tear_down(path)
                except OSError as error:
                    raise VolumeError(f"cannot tear down {path}: {error}") from error

    def _mount(self, pod_dir: Path, container: str, plan: MountPlan) -> Mount:
        volume = plan.volume
        if volume.path is None:
            return Mount(
                plan.container_path,
                "",
                plan.read_only,
                recursive_read_only=plan.recursive_read_only,
                image=volume.image,
                image_sub_path=plan.sub_path,
            )
        path = volume.path
        if plan.sub_path:
            path = pod_dir / "volume-subpaths" / volume.name / container / str(plan.index)
            try:
                subpath.bind(volume.path, plan.sub_path, path)
            except (subpath.SubPathError, OSError) as error:
                log.error("pod %s: %s", pod_dir.name, error)
                text = f'failed to prepare subPath for volumeMount "{volume.name}" of container "{container}"'
                raise ConfigError(text) from error
        return Mount(plan.container_path, str(path), plan.read_only, plan.propagation, plan.recursive_read_only)


async def _remove(directory: Path) -> None:
    if not directory.exists():
        return
    try:
        real = directory.resolve()
        for point in mounts.mount_points(real):
            mounts.unmount(point)
        # Never through a mount: what lies behind one is not ours to delete.
        left = mounts.mount_points(real)
        if left:
            raise VolumeError(f"{left[0]} is still mounted")
        await asyncio.to_thread(files.remove_tree, directory)
    except OSError as error:
        raise VolumeError(f"cannot remove {directory}: {error}") from error

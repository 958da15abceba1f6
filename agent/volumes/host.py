"""The applier: makes planned volumes real under <root_dir>/pods/<uid> and takes them away again."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.cri.model import Mount
from agent.errors import ConfigError, NotNow, VolumeError
from agent.objects.cache import Objects
from agent.settings import AgentSettings
from agent.volumes import atomic, hostpath, ownership, payload, subpath
from agent.volumes.plan import MountPlan, VolumePlan, fs_group, plan_mounts, plan_volumes
from apimachinery.kit import mounts
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

# Any container's user may write into an emptyDir, as upstream's.
_VOLUME_MODE = 0o777
_TMPFS_MODE = 0o1777
_DIRECTORIES = ("volumes", "volume-subpaths")


class Volumes:
    """The volumes of every pod of this node."""

    def __init__(
        self, settings: AgentSettings, objects: Objects, recursive: Callable[[Obj], bool] = lambda pod: False
    ) -> None:
        """``recursive``: whether the pod's runtime handler can make a mount read-only with all below it."""
        self._recursive = recursive
        self._pods = settings.root_dir / "pods"
        self._objects = objects
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

    def _lock(self, uid: str) -> asyncio.Lock:
        return self._locks.setdefault(uid, asyncio.Lock())

    async def _prepare_all(self, pod: Obj) -> None:
        plans = plan_volumes(pod, self._dir(pod["metadata"]["uid"]))
        results = await asyncio.gather(*(self._prepare(pod, plan) for plan in plans), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, VolumeError):
                raise failure
        if failures:
            raise failures[0]

    async def mounts(self, pod: Obj, container: Obj, env: Mapping[str, str]) -> tuple[Mount, ...]:
        """The container's volumeMounts; raises VolumeError or ConfigError."""
        pod_dir = self._dir(pod["metadata"]["uid"])
        volumes = {plan.name: plan for plan in plan_volumes(pod, pod_dir)}
        planned = plan_mounts(container, volumes, env, recursive=self._recursive(pod))
        return tuple(self._mount(pod_dir, container, plan) for plan in planned)

    async def teardown(self, uid: str) -> None:
        """Unmount and remove whatever the disk says this pod has; raises VolumeError where a mount will not go."""
        async with self._lock(uid):
            for name in _DIRECTORIES:
                await _remove(self._dir(uid) / name)
        self._locks.pop(uid, None)

    def _dir(self, uid: str) -> Path:
        return self._pods / uid

    async def _prepare(self, pod: Obj, plan: VolumePlan) -> None:
        try:
            if plan.kind == "hostPath":
                assert plan.path is not None
                hostpath.prepare(plan.path, str(plan.source.get("type") or ""))
            elif plan.kind == "emptyDir":
                self._empty_dir(plan, fs_group(pod))
            elif plan.path is not None:
                files = await self._payload(pod, plan)
                self._files(plan, files, fs_group(pod))
        except (hostpath.HostPathError, payload.PayloadError, OSError, VolumeError) as error:
            text = f'MountVolume.SetUp failed for volume "{plan.name}" : {error}'
            raise VolumeError(text, settling=isinstance(error, NotNow) and error.settling) from error

    def _empty_dir(self, plan: VolumePlan, group: int | None) -> None:
        assert plan.path is not None
        self._directory(plan, group, read_only=False)

    def _files(self, plan: VolumePlan, files: payload.Payload, group: int | None) -> None:
        assert plan.path is not None
        self._directory(plan, group, read_only=True)

        def own(directory: Path) -> None:
            if group is not None:
                ownership.own(directory, group, read_only=True)

        atomic.write(plan.path, files, own)

    def _directory(self, plan: VolumePlan, group: int | None, read_only: bool) -> None:
        """Make the volume's directory, or mount its tmpfs, once: later its users' own permissions count."""
        assert plan.path is not None
        if plan.memory:
            plan.path.mkdir(mode=0o750, parents=True, exist_ok=True)
            if os.path.ismount(plan.path):
                return
            options = [f"size={plan.size}"] if plan.size else []
            options.append(f"mode={_TMPFS_MODE:o}")
            mounts.mount("tmpfs", plan.path, "tmpfs", options=",".join(options))
            if group is not None:
                ownership.own(plan.path, group, read_only)
        elif not plan.path.exists():
            plan.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            # Under another name until it is right: a directory that exists is taken to be ready.
            making = plan.path.with_name(f"..{plan.name}.new")
            making.mkdir(exist_ok=True)
            making.chmod(_VOLUME_MODE)
            if group is not None:
                ownership.own(making, group, read_only)
            making.rename(plan.path)

    async def _payload(self, pod: Obj, plan: VolumePlan) -> payload.Payload:
        source = dict(plan.source)
        if plan.kind == "projected":
            return await self._projected(pod, source)
        return await self._single(pod, plan.kind, source, None)

    async def _projected(self, pod: Obj, source: Obj) -> payload.Payload:
        mode = source.get("defaultMode", payload.DEFAULT_MODE)
        parts = []
        for part in source.get("sources") or []:
            for kind, body in part.items():
                if body is not None:
                    parts.append(self._single(pod, kind, body, mode))
        return payload.merge(await asyncio.gather(*parts))

    async def _single(self, pod: Obj, kind: str, source: Obj, mode: int | None) -> payload.Payload:
        if kind == "configMap":
            name = source.get("name", "")
            found = await self._objects.config_maps(pod, [name], VolumeError)
            return payload.config_map_payload(source, found.get(name), mode)
        if kind == "secret":
            name = source.get("secretName") or source.get("name", "")
            found = await self._objects.secrets(pod, [name], VolumeError)
            return payload.secret_payload(source, found.get(name), mode)
        if kind == "downwardAPI":
            return payload.downward_payload(source, pod, self._objects.allocatable(), mode)
        if kind == "serviceAccountToken":
            seconds = int(source.get("expirationSeconds") or 3600)
            token = await self._objects.token(pod, source.get("audience", ""), seconds)
            file_mode = payload.DEFAULT_MODE if mode is None else mode
            return payload.token_payload(source, token, file_mode, fs_group(pod), payload.single_user(pod))
        raise VolumeError(f"projected source {kind} is not supported")

    def _mount(self, pod_dir: Path, container: Obj, plan: MountPlan) -> Mount:
        volume = plan.volume
        if volume.kind == "image":
            recursive = plan.recursive_read_only
            return Mount(
                plan.container_path,
                "",
                True,
                recursive_read_only=recursive,
                image=volume.image,
                image_sub_path=plan.sub_path,
            )
        assert volume.path is not None
        path = volume.path
        if plan.sub_path:
            path = pod_dir / "volume-subpaths" / volume.name / container["name"] / str(plan.index)
            try:
                subpath.bind(volume.path, plan.sub_path, path)
            except (subpath.SubPathError, OSError) as error:
                log.error("pod %s: %s", pod_dir.name, error)
                text = f'failed to prepare subPath for volumeMount "{volume.name}" of container '
                raise ConfigError(f'{text}"{container["name"]}"') from error
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
        await asyncio.to_thread(shutil.rmtree, directory)
    except OSError as error:
        raise VolumeError(f"cannot remove {directory}: {error}") from error

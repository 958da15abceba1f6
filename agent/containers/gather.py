"""What a container that is to be started needs to know of its node, its pod and the objects it refers to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent import podspec
from agent.containers.container_config import ContainerFacts, Hardware, mount_message
from agent.containers.image_volumes import ImageVolumes
from agent.cri.cache import RuntimeCache
from agent.cri.model import Image, Mount
from agent.devices.cdi import Edits, edits
from agent.devices.claims import Claims
from agent.devices.plugins import DevicePlugins
from agent.env.build import Environment
from agent.expansion import expand_all
from agent.failures import StartError
from agent.host import paths
from agent.host.names import PodNames
from agent.settings import AgentSettings
from agent.volumes.host import Volumes
from apimachinery.objects import Obj


@dataclass(frozen=True)
class Start:
    """A container that is to be started. `sandbox`: the PodSandboxConfig; `too_early`: for an image, by reference,
    what is raised instead of a pull; `volumes`: the pod's images that are volumes; `stop`, once set, gives up every
    wait."""

    pod: Obj
    container: Obj
    attempt: int
    sandbox_id: str
    sandbox: Any
    too_early: Mapping[str, StartError]
    volumes: ImageVolumes
    stop: asyncio.Event

    @property
    def log_directory(self) -> Path:
        return Path(self.sandbox.log_directory) / str(self.container["name"])


@dataclass(frozen=True)
class Gatherer:
    settings: AgentSettings
    cache: RuntimeCache
    volumes: Volumes
    environment: Environment
    names: PodNames
    hardware: Hardware
    devices: Claims
    plugins: DevicePlugins
    takes_cdi: Callable[[], Awaitable[bool]]
    """Whether the runtime knows CDI devices."""

    async def facts(self, start: Start, image: Image, mounted: Mapping[str, str]) -> ContainerFacts:
        """`mounted`: ids of the images that are volumes, by reference. Raises ConfigError, VolumeError, OSError,
        CriError.
        """
        pod, container = start.pod, start.container
        record = self.cache.record(podspec.uid(pod))
        sandbox = record.ready_sandbox
        ips = sandbox.ips if sandbox else ()
        shown = self.names.with_addresses(pod, ips)
        # A pod in the host's network has no address of its own in the runtime's record.
        own = tuple(entry["ip"] for entry in shown["status"].get("podIPs") or ())
        env = await self.environment.build(shown, container, own)
        named = dict(env)
        mounts = await self._mounts(start, shown, ips, named, mounted)
        given = self.plugins.given(podspec.uid(pod), container["name"])
        cdi = tuple(dict.fromkeys((*self.devices.cdi(pod, container), *given.cdi)))
        able = not cdi or await self.takes_cdi()
        target = container.get("targetContainerName", "")
        target_run = record.newest(target) if target else None
        return ContainerFacts(
            image=image.id,
            attempt=start.attempt,
            env=env,
            command=tuple(expand_all(container.get("command") or (), named)),
            args=tuple(expand_all(container.get("args") or (), named)),
            mounts=tuple(mount_message(mount) for mount in mounts),
            hardware=self.hardware,
            image_uid=image.uid,
            image_user=image.user,
            seccomp_root=str(self.settings.root_dir / "seccomp") + "/",
            seccomp_default=self.settings.seccomp_default,
            target_id=target_run.id if target_run else "",
            given=given,
            cdi=cdi if able else (),
            edits=Edits() if able else edits(cdi, self.settings.cdi_spec_dirs),
        )

    async def _mounts(
        self, start: Start, shown: Obj, ips: tuple[str, ...], env: Mapping[str, str], mounted: Mapping[str, str]
    ) -> list[Mount]:
        """`shown`: the pod with its addresses."""
        pod, container = start.pod, start.container
        mounts = await self.volumes.mounts(shown, container, env)
        return [
            *(replace(m, image=mounted[m.image]) if m.image else m for m in mounts),
            *self.names.own_mounts(pod, container, ips),
            self._termination_log(pod, container),
        ]

    def _termination_log(self, pod: Obj, container: Obj) -> Mount:
        """A fresh file per start, writable by whoever the container runs as."""
        folder = paths.container_directory(self.settings.root_dir, podspec.uid(pod), container["name"])
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        file = folder / os.urandom(4).hex()
        file.touch()
        file.chmod(0o666)
        return Mount(podspec.message_path(container), str(file))

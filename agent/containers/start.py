"""One container's start: image, configuration, creation, start, postStart hook."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent import podspec
from agent.containers.container_config import container_config
from agent.containers.gather import Gatherer, Start
from agent.containers.hooks import HookError, run_hook
from agent.containers.images import Images
from agent.containers.interrupt import unless
from agent.containers.kill import Killer
from agent.containers.slots import Slots, Step
from agent.cri.cache import RuntimeCache
from agent.cri.client import CriClient
from agent.cri.errors import CriError, CriUnavailable
from agent.cri.model import Image, RuntimeInfo
from agent.failures import ConfigError, DeviceError, NotNow, StartError, VolumeError
from agent.reporter import Reporter


@dataclass(frozen=True)
class Starter:
    """`slots` bounds how many starts there are at a time."""

    runtime: CriClient
    cache: RuntimeCache
    images: Images
    gatherer: Gatherer
    killer: Killer
    reporter: Reporter
    slots: Slots
    runtime_info: Callable[[], RuntimeInfo | None]
    """What the runtime last said of itself."""

    async def start(self, start: Start) -> None:
        """Start a container whose sandbox is ready. Raises StartError, Interrupted, CriUnavailable."""
        pod, container = start.pod, start.container
        too_early = start.too_early.get(container.get("image", ""))
        told = self.runtime_info()
        able = told is None or told.mounts_images
        if told is not None and not able and start.volumes.are_in(container):
            # It would say that it cannot make a directory without a name, after a pull for nothing.
            why = f"ImageVolumeMountFailed: {told.name} {told.version} mounts no images: containerd 2.1 or newer does"
            self.reporter.container(pod, container, "Warning", "Failed", f"Error: {why}")
            raise StartError("CreateContainerError", why)
        mounted = await unless(start.stop, start.volumes.of(container)) if able else {}
        image = await unless(start.stop, self.images.ensure(pod, container, start.sandbox, too_early))
        container_id = await self._create(start, image, mounted)
        self.reporter.container(pod, container, "Normal", "Created", "Container created")
        try:
            await unless(start.stop, self.gatherer.plugins.pre_start(podspec.uid(pod), container["name"]))
        except DeviceError as error:
            await self._look(container_id, start.sandbox_id)
            self.reporter.container(
                pod, container, "Warning", "Failed", f"Internal PreStartContainer hook failed: {error}"
            )
            raise StartError("PreStartHookError", str(error)) from error
        try:
            async with self.slots.hold(Step.START):
                await self.runtime.start_container(container_id)
        except CriUnavailable:
            raise
        except CriError as error:
            await self._look(container_id, start.sandbox_id)
            self.reporter.container(pod, container, "Warning", "Failed", f"Error: {error.message}")
            raise StartError("RunContainerError", error.message) from error
        self.reporter.container(pod, container, "Normal", "Started", "Container started")
        await self._look(container_id, start.sandbox_id)
        await self._post_start(start, container_id)

    async def _create(self, start: Start, image: Image, mounted: Mapping[str, str]) -> str:
        pod, container = start.pod, start.container
        try:
            facts = await unless(start.stop, self.gatherer.facts(start, image, mounted))
            message = container_config(pod, container, facts)
            start.log_directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        except (ConfigError, VolumeError, OSError) as error:
            told, settling = ("Warning", "Failed", f"Error: {error}"), isinstance(error, NotNow) and error.settling
            raise StartError("CreateContainerConfigError", str(error), told, settling=settling) from error
        try:
            async with self.slots.hold(Step.CREATE):
                return await self.runtime.create_container(start.sandbox_id, message, start.sandbox)
        except CriUnavailable:
            raise
        except CriError as error:
            # It may be the sandbox that is gone: then the next plan makes a new one.
            with contextlib.suppress(CriError):
                await self.cache.refresh_sandbox(start.sandbox_id)
            self.reporter.container(pod, container, "Warning", "Failed", f"Error: {error.message}")
            raise StartError("CreateContainerError", error.message) from error

    async def _look(self, container_id: str, sandbox_id: str) -> None:
        # A failed look is repaired by the relist; the container itself is up.
        with contextlib.suppress(CriError):
            await self.cache.refresh_container(container_id, sandbox_id)

    async def _post_start(self, start: Start, container_id: str) -> None:
        pod, container = start.pod, start.container
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        record = self.cache.record(podspec.uid(pod))
        sandbox = record.ready_sandbox
        address = sandbox.ips[0] if sandbox and sandbox.ips else "127.0.0.1"
        try:
            await unless(start.stop, run_hook(self.runtime, pod, container, handler, container_id, address))
        except HookError as error:
            self.reporter.container(pod, container, "Warning", "FailedPostStartHook", "PostStartHook failed")
            run = record.newest(container["name"])
            if run is not None:
                await self.killer.container(pod, run, "FailedPostStartHook")
            raise StartError("PostStartHookError", str(error)) from error

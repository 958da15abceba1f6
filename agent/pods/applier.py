"""Walks a plan: kills, sandbox, images, containers. Decides nothing but what failed.

A failed start is not an error of the pod: it is remembered as the reason its container waits, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent import podspec
from agent.containers.backoff import Backoff
from agent.containers.config import ContainerFacts, container_config, mount_message
from agent.containers.hooks import HookError, run_hook
from agent.containers.images import IMAGE_REASONS, Images, StartError
from agent.containers.interrupt import check, unless
from agent.containers.kill import Killer
from agent.containers.sandbox import SandboxConfigError, SandboxFacts, sandbox_config
from agent.containers.security import root_refusal
from agent.containers.slots import Slots, Step
from agent.containers.termination import remove_files
from agent.cri.cache import RuntimeCache
from agent.cri.client import CriClient
from agent.cri.errors import CriError, CriUnavailable
from agent.cri.model import Image, Mount, PodRecord, State
from agent.env.build import Environment
from agent.errors import ConfigError, HandlerError, NotNow, VolumeError
from agent.expansion import expand_all
from agent.host import paths
from agent.host.names import NamesError, PodNames
from agent.pods.actions import PodActions
from agent.pods.attempts import NETWORK_SECONDS, SYNC_SECONDS, Attempts
from agent.reporter import Reporter
from agent.settings import AgentSettings
from agent.status.containers import Waiting
from agent.volumes.host import Volumes
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

# N.log, and what rotation makes of it.
_ATTEMPT_LOG = re.compile(r"\d+\.log")
# containerd, before the first network configuration is there.
_NO_NETWORK = "cni plugin not initialized"


class SandboxError(Exception):
    """No sandbox; the text is the event's. ``seconds``: after which it is tried again, before jitter."""

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


@dataclass(frozen=True)
class Hardware:
    """``memory`` in bytes; ``hugepage_sizes`` as ("2MB", "1GB"); ``swap_counted``: cgroups can limit swap."""

    memory: int
    hugepage_sizes: tuple[str, ...] = ()
    cgroup_v2: bool = False
    swap_counted: bool = True


@dataclass
class Outcome:
    """What a walk started and what it left undone: why containers wait."""

    waiting: dict[str, Waiting] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Parts:
    """What the applier works with."""

    settings: AgentSettings
    runtime: CriClient
    cache: RuntimeCache
    images: Images
    volumes: Volumes
    environment: Environment
    names: PodNames
    runtime_handler: Callable[[Obj], Awaitable[str]]
    """The name of the handler a pod's sandbox runs by; raises HandlerError."""
    reporter: Reporter
    killer: Killer
    hardware: Hardware
    starts: Slots
    backoff: Backoff


class Applier:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def apply(
        self,
        pod: Obj,
        record: PodRecord,
        actions: PodActions,
        cgroup: str,
        stop: asyncio.Event,
        attempts: Attempts,
    ) -> Outcome:
        """Walk ``actions``; what failed is noted in ``attempts``. Raises SandboxError, Interrupted, CriError."""
        outcome = Outcome()
        if actions.kill_pod:
            if actions.sandbox_changed and actions.create_sandbox:
                text = "Pod sandbox changed, it will be killed and re-created."
                self._parts.reporter.pod(pod, "Normal", "SandboxChanged", text)
            await self._parts.killer.pod(pod, record)
            if not actions.create_sandbox:
                return outcome
        await self._reset(pod, record, actions)
        await self._discard(record, actions.discards)
        for kill in actions.kills:
            run = next((c for c in record.containers if c.id == kill.container_id), None)
            if run is not None:
                await self._parts.killer.container(pod, run, kill.message, probe=kill.probe)
        check(stop)
        config, handler = await self._sandbox_config(pod, cgroup, actions)
        sandbox_id = actions.sandbox_id
        if actions.create_sandbox:
            sandbox_id = await self._create_sandbox(pod, config, handler)
        wanted = {c["name"]: c for c in podspec.all_containers(pod)}
        for name in (*actions.ephemeral, *actions.init, *actions.containers):
            check(stop)
            container = wanted[name]
            attempts.begins(pod, container, self._parts.cache.record(podspec.uid(pod)), time.time())
            try:
                await self._start(pod, container, sandbox_id, config, stop)
            except StartError as error:
                if self._failed(pod, container, error, attempts):
                    outcome.waiting[name] = Waiting(error.reason, error.message)
                if name in actions.init and not podspec.is_sidecar(container):
                    break
                continue
            outcome.started.append(name)
            attempts.succeeded(name)
        return outcome

    async def _reset(self, pod: Obj, record: PodRecord, actions: PodActions) -> None:
        parts = self._parts
        runs = {run.id: run for run in record.containers}
        for reset in actions.reset:
            if reset.kill:
                await parts.killer.container(pod, runs[reset.container_id], "killing", override=0)
            # Its log stays: it is what tells why.
            await parts.runtime.remove_container(reset.container_id)
            parts.cache.drop(reset.container_id)

    async def _discard(self, record: PodRecord, discards: tuple[str, ...]) -> None:
        """Containers that never ran: their names and attempts are free again, and no log says otherwise."""
        for run in (c for c in record.containers if c.id in discards):
            await self._parts.runtime.remove_container(run.id)
            self._parts.cache.drop(run.id)
            remove_files(run)

    # --- sandbox

    async def _sandbox_config(self, pod: Obj, cgroup: str, actions: PodActions) -> tuple[Any, str]:
        """(PodSandboxConfig, runtime handler)."""
        parts = self._parts
        try:
            found = parts.names.of(pod, warn=actions.create_sandbox)
            logs = str(paths.log_directory(parts.settings.pod_log_dir, pod))
            facts = SandboxFacts(found.resolver, found.hostname, logs, cgroup, actions.attempt)
            config = sandbox_config(pod, facts)
            handler = await parts.runtime_handler(pod) if actions.create_sandbox else ""
        except (NamesError, HandlerError, SandboxConfigError) as error:
            text = f"Failed to create pod sandbox: {error}"
            if actions.create_sandbox:
                parts.reporter.pod(pod, "Warning", "FailedCreatePodSandBox", text)
            raise SandboxError(text, SYNC_SECONDS) from error
        return config, handler

    async def _create_sandbox(self, pod: Obj, config: Any, handler: str) -> str:
        parts = self._parts
        directory = Path(config.log_directory)
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            async with parts.starts.hold(Step.SANDBOX):
                sandbox_id = await parts.runtime.run_sandbox(config, handler)
        except CriUnavailable:
            raise
        except CriError as error:
            if _NO_NETWORK in error.message:
                text = f"network is not ready: {error.message}"
                parts.reporter.pod(pod, "Warning", "NetworkNotReady", text)
                raise SandboxError(text, NETWORK_SECONDS) from error
            text = f"Failed to create pod sandbox: {error}"
            parts.reporter.pod(pod, "Warning", "FailedCreatePodSandBox", text)
            raise SandboxError(text, SYNC_SECONDS) from error
        await self._look(pod, sandbox_id)
        return sandbox_id

    async def _look(self, pod: Obj, sandbox_id: str) -> None:
        try:
            await self._parts.cache.refresh_sandbox(sandbox_id)
        except CriUnavailable:
            raise
        except CriError as error:
            text = f"Unable to get pod sandbox status: {error}"
            self._parts.reporter.pod(pod, "Warning", "FailedPodSandBoxStatus", text)
            raise SandboxError(text, SYNC_SECONDS) from error

    # --- containers

    async def _start(self, pod: Obj, container: Obj, sandbox_id: str, config: Any, stop: asyncio.Event) -> None:
        parts = self._parts
        record = parts.cache.record(podspec.uid(pod))
        image = await unless(stop, parts.images.ensure(pod, container, config))
        container_id = await self._create(pod, container, record, sandbox_id, config, image, stop)
        parts.reporter.container(pod, container, "Normal", "Created", "Container created")
        try:
            async with parts.starts.hold(Step.START):
                await parts.runtime.start_container(container_id)
        except CriUnavailable:
            raise
        except CriError as error:
            await self._refresh(container_id, sandbox_id)
            parts.reporter.container(pod, container, "Warning", "Failed", f"Error: {error.message}")
            raise StartError("RunContainerError", error.message) from error
        parts.reporter.container(pod, container, "Normal", "Started", "Container started")
        await self._refresh(container_id, sandbox_id)
        await self._post_start(pod, container, container_id, stop)

    async def _refresh(self, container_id: str, sandbox_id: str) -> None:
        # A failed look is repaired by the relist; the container itself is up.
        with contextlib.suppress(CriError):
            await self._parts.cache.refresh_container(container_id, sandbox_id)

    def _failed(self, pod: Obj, container: Obj, error: StartError, attempts: Attempts) -> bool:
        """Note when it is tried again and tell the user; False where nobody is to know yet."""
        name = container["name"]
        run = self._parts.cache.record(podspec.uid(pod)).newest(name)
        ended = run is not None and run.state is State.EXITED
        if not attempts.start_failed(pod, name, error, time.time(), ended=ended):
            return False
        # A back-off is met again at each attempt: one event for each of its dates.
        if error.retry_at and not attempts.news(name, error.reason, error.retry_at):
            return True
        kind, reason, text = error.event
        if text:
            self._parts.reporter.container(pod, container, kind, reason, text)
        if error.reason in IMAGE_REASONS:
            self._parts.reporter.container(pod, container, "Warning", "Failed", f"Error: {error.reason}")
        return True

    async def _create(
        self,
        pod: Obj,
        container: Obj,
        record: PodRecord,
        sandbox_id: str,
        config: Any,
        image: Image,
        stop: asyncio.Event,
    ) -> str:
        parts = self._parts
        last = record.newest(container["name"])
        attempt = last.attempt + 1 if last is not None else next_attempt(Path(config.log_directory) / container["name"])
        try:
            facts = await unless(stop, self._facts(pod, container, image, attempt, config))
            if refusal := root_refusal(pod, container, facts.image_uid, facts.image_user):
                raise ConfigError(refusal)
            (Path(config.log_directory) / container["name"]).mkdir(mode=0o755, parents=True, exist_ok=True)
        except (ConfigError, VolumeError, OSError) as error:
            told, settling = ("Warning", "Failed", f"Error: {error}"), isinstance(error, NotNow) and error.settling
            raise StartError("CreateContainerConfigError", str(error), event=told, settling=settling) from error
        message = container_config(pod, container, facts)
        try:
            async with parts.starts.hold(Step.CREATE):
                return await parts.runtime.create_container(sandbox_id, message, config)
        except CriUnavailable:
            raise
        except CriError as error:
            # It may be the sandbox that is gone: then the next plan makes a new one.
            with contextlib.suppress(CriError):
                await parts.cache.refresh_sandbox(sandbox_id)
            parts.reporter.container(pod, container, "Warning", "Failed", f"Error: {error.message}")
            raise StartError("CreateContainerError", error.message) from error

    async def _facts(self, pod: Obj, container: Obj, image: Image, attempt: int, config: Any) -> ContainerFacts:
        parts, uid = self._parts, podspec.uid(pod)
        record = parts.cache.record(uid)
        sandbox = record.ready_sandbox
        ips = sandbox.ips if sandbox else ()
        shown = parts.names.with_addresses(pod, ips)
        env = await parts.environment.build(shown, container, (shown["status"].get("podIPs") and ips) or ips)
        named = dict(env)
        mounts = [*await parts.volumes.mounts(shown, container, named)]
        images = {m.image: await self._volume_image(pod, m.image, config) for m in mounts if m.image}
        mounts = [replace(m, image=images[m.image]) if m.image else m for m in mounts]
        mounts += parts.names.own_mounts(pod, container, ips)
        mounts.append(self._termination_log(pod, container))
        target = container.get("targetContainerName", "")
        target_run = record.newest(target) if target else None
        return ContainerFacts(
            image=image.id,
            attempt=attempt,
            env=env,
            command=tuple(expand_all(container.get("command") or (), named)),
            args=tuple(expand_all(container.get("args") or (), named)),
            mounts=tuple(mount_message(m) for m in mounts),
            memory_capacity=parts.hardware.memory,
            image_uid=image.uid,
            image_user=image.user,
            seccomp_root=str(parts.settings.root_dir / "seccomp") + "/",
            seccomp_default=parts.settings.seccomp_default,
            target_id=target_run.id if target_run else "",
            hugepage_sizes=parts.hardware.hugepage_sizes,
            cgroup_v2=parts.hardware.cgroup_v2,
            swap_counted=parts.hardware.swap_counted,
        )

    async def _volume_image(self, pod: Obj, reference: str, config: Any) -> str:
        """The id of an image that is mounted as a volume, pulled as the volume says. Raises StartError."""
        sources = (v["image"] for v in podspec.spec(pod).get("volumes") or () if v.get("image"))
        source = next(s for s in sources if s.get("reference") == reference)
        # No name of a container: what is told is told of the pod.
        holder = {"name": "", "image": reference, "imagePullPolicy": source.get("pullPolicy")}
        return (await self._parts.images.ensure(pod, holder, config)).id

    def _termination_log(self, pod: Obj, container: Obj) -> Mount:
        """A fresh file per start, writable by whoever the container runs as."""
        folder = paths.container_directory(self._parts.settings.root_dir, podspec.uid(pod), container["name"])
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        file = folder / os.urandom(4).hex()
        file.touch()
        file.chmod(0o666)
        return Mount(podspec.message_path(container), str(file))

    async def _post_start(self, pod: Obj, container: Obj, container_id: str, stop: asyncio.Event) -> None:
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        parts = self._parts
        record = parts.cache.record(podspec.uid(pod))
        sandbox = record.ready_sandbox
        address = sandbox.ips[0] if sandbox and sandbox.ips else "127.0.0.1"
        try:
            await unless(stop, run_hook(parts.runtime, pod, container, handler, container_id, address))
        except HookError as error:
            parts.reporter.container(pod, container, "Warning", "FailedPostStartHook", "PostStartHook failed")
            run = record.newest(container["name"])
            if run is not None:
                await parts.killer.container(pod, run, "FailedPostStartHook")
            raise StartError("PostStartHookError", str(error)) from error


def next_attempt(logs: Path) -> int:
    """The attempt after the last one that left a log here: runs may have been taken away since."""
    try:
        found = [int(entry.name.partition(".")[0]) for entry in logs.iterdir() if _ATTEMPT_LOG.match(entry.name)]
    except FileNotFoundError:
        return 0
    return max(found) + 1 if found else 0

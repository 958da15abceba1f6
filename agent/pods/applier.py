"""Walks a plan from top to bottom: kills, removals, sandbox, containers. Decides nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agent import metrics, podspec
from agent.containers.cleaning import Cleaner
from agent.containers.container_config import linux_resources
from agent.containers.gather import Start
from agent.containers.image_volumes import ImageVolumes
from agent.containers.interrupt import check
from agent.containers.kill import Killer
from agent.containers.sandbox import Sandboxes
from agent.containers.start import Starter
from agent.cri.errors import CriError, CriTimeout, CriUnavailable
from agent.cri.model import Container, PodRecord
from agent.failures import StartError, Unsettled
from agent.pods.actions import PodActions
from agent.reporter import Reporter
from apimachinery.objects import Obj

log = logging.getLogger(__name__)


class Progress(Protocol):
    """Who hears of each container on the way."""

    def begins(self, name: str) -> None:
        """It is about to be started."""

    def started(self, name: str) -> None: ...

    def failed(self, name: str, error: StartError) -> None: ...


@dataclass(frozen=True)
class Applier:
    sandboxes: Sandboxes
    starter: Starter
    killer: Killer
    cleaner: Cleaner
    reporter: Reporter

    async def apply(
        self, pod: Obj, record: PodRecord, actions: PodActions, cgroup: str, stop: asyncio.Event, progress: Progress
    ) -> None:
        """Walk `actions`, until `stop` is set. Raises SandboxError, Unsettled, Interrupted, CriError."""
        if actions.kill_pod:
            self._tell_of_change(pod, record, actions)
            await self.killer.pod(pod, record)
        await self._take_away(pod, record, actions)
        check(stop)
        if not actions.create_sandbox and not actions.starts:
            return
        config = self.sandboxes.config(pod, cgroup, actions.attempt, new=actions.create_sandbox)
        sandbox_id = await self.sandboxes.make(pod, config) if actions.create_sandbox else actions.sandbox_id
        too_early = {
            image: StartError(hold.reason, hold.message, hold.event, image=image)
            for image, hold in actions.no_pulls.items()
        }
        volumes = ImageVolumes(self.starter.images, pod, config, too_early)
        wanted = {container["name"]: container for container in podspec.all_containers(pod)}
        for name in actions.starts:
            check(stop)
            progress.begins(name)
            attempt = actions.attempts[name]
            kind = metrics.container_type(pod, name)
            metrics.STARTED_CONTAINERS.labels(kind).inc()
            start = Start(pod, wanted[name], attempt, sandbox_id, config, too_early, volumes, stop)
            try:
                await self.starter.start(start)
            except StartError as error:
                metrics.STARTED_CONTAINERS_ERRORS.labels(kind, error.reason).inc()
                progress.failed(name, error)
                if error.image:
                    # What the plan knew of images is out of date: the rest may ask for the same.
                    return
                continue
            progress.started(name)

    async def check_memory(self, lower: Mapping[str, int]) -> None:
        """`lower`: containers, by id, whose memory limit is to be lowered, in bytes. Raises OSError where one holds
        more than that: the kernel would take it away."""
        if not lower:
            return
        for stats in await self.starter.runtime.container_stats():
            wanted, used = lower.get(stats.attributes.id), stats.memory.usage_bytes.value
            if wanted is not None and used >= wanted:
                name = stats.attributes.metadata.name
                text = f'attempting to set container "{name}" memory limit ({wanted}) below current usage ({used})'
                raise OSError(f"cannot decrease memory limits: {text}")

    async def resize(self, pod: Obj, run: Container) -> None:
        """Hold a container that runs to what the pod says now. Raises CriError."""
        container = podspec.find_container(pod, run.name)
        assert container is not None
        wanted = linux_resources(pod, container, self.starter.gatherer.hardware)
        await self.starter.runtime.update_container(run.id, wanted)
        await self.starter.cache.refresh_container(run.id, run.sandbox_id)

    def _tell_of_change(self, pod: Obj, record: PodRecord, actions: PodActions) -> None:
        """Why a sandbox has to go, where that is not the pod's own end."""
        why = actions.sandbox_changed
        if why and why == record.sandboxes[0].network_lost:
            self.reporter.pod(pod, "Warning", "NetworkNotReady", f"network is not ready: {why}")
        if why and actions.create_sandbox:
            text = "Pod sandbox changed, it will be killed and re-created."
            self.reporter.pod(pod, "Normal", "SandboxChanged", text)

    async def _take_away(self, pod: Obj, record: PodRecord, actions: PodActions) -> None:
        """Runs that are to start anew, that never ran, or that must end."""
        runs = {run.id: run for run in record.containers}
        for reset in actions.reset:
            if reset.kill:
                await self.killer.container(pod, runs[reset.container_id], "killing", override=0)
            await self.cleaner.remove(runs[reset.container_id], with_log=False)
        for container_id in actions.discards:
            await self._discard(runs[container_id])
        for kill in actions.kills:
            await self.killer.container(pod, runs[kill.container_id], kill.message, probe=kill.probe)

    async def _discard(self, run: Container) -> None:
        log.info("container %s of %s never ran (%s): another is made", run.name, run.pod_name, run.message or "made")
        try:
            await self.cleaner.remove(run)
        except (CriUnavailable, CriTimeout):
            raise
        except CriError as error:
            # The runtime is still ending the start that an agent before this one had asked for.
            raise Unsettled(run.name, error.detail) from error

"""Walks a plan from top to bottom: kills, removals, sandbox, containers. Decides nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from agent import podspec
from agent.containers.cleaning import Cleaner
from agent.containers.gather import Start
from agent.containers.interrupt import check
from agent.containers.kill import Killer
from agent.containers.sandbox import Sandboxes
from agent.containers.start import Starter
from agent.cri.model import PodRecord
from agent.errors import StartError
from agent.pods.actions import PodActions
from agent.reporter import Reporter
from apimachinery.objects import Obj


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
        """Walk ``actions``, until ``stop`` is set. Raises SandboxError, Interrupted, CriError."""
        if actions.kill_pod:
            if actions.sandbox_changed and actions.create_sandbox:
                text = "Pod sandbox changed, it will be killed and re-created."
                self.reporter.pod(pod, "Normal", "SandboxChanged", text)
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
        wanted = {container["name"]: container for container in podspec.all_containers(pod)}
        for name in actions.starts:
            check(stop)
            progress.begins(name)
            attempt = actions.attempts[name]
            try:
                await self.starter.start(Start(pod, wanted[name], attempt, sandbox_id, config, too_early, stop))
            except StartError as error:
                progress.failed(name, error)
                if error.image:
                    # What the plan knew of images is out of date: the rest may ask for the same.
                    return
                continue
            progress.started(name)

    async def _take_away(self, pod: Obj, record: PodRecord, actions: PodActions) -> None:
        """Runs that are to start anew, that never ran, or that must end."""
        runs = {run.id: run for run in record.containers}
        for reset in actions.reset:
            if reset.kill:
                await self.killer.container(pod, runs[reset.container_id], "killing", override=0)
            await self.cleaner.remove(runs[reset.container_id], with_log=False)
        for container_id in actions.discards:
            await self.cleaner.remove(runs[container_id])
        for kill in actions.kills:
            await self.killer.container(pod, runs[kill.container_id], kill.message, probe=kill.probe)

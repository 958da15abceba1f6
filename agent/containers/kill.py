"""Stopping containers: preStop hook, grace period, order of sidecars; then the sandbox.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination .
"""

from __future__ import annotations

import asyncio
import logging
import time

from agent import podspec
from agent.containers.hooks import HookError, run_hook
from agent.cri import names
from agent.cri.cache import RuntimeCache
from agent.cri.client import CriClient
from agent.cri.errors import CriError
from agent.cri.model import Container, PodRecord
from agent.reporter import Reporter
from apimachinery.kit.tasks import within
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

# Even a preStop hook that used the whole grace period leaves the process this long.
MINIMUM_GRACE_SECONDS = 2


class Killer:
    def __init__(self, runtime: CriClient, cache: RuntimeCache, reporter: Reporter) -> None:
        self._runtime = runtime
        self._cache = cache
        self._reporter = reporter

    async def container(
        self, pod: Obj, run: Container, message: str = "", *, probe: str = "", override: int | None = None
    ) -> None:
        """Stop one container and learn its end. `override`: grace period that goes before every other.
        Raises CriError."""
        container = podspec.find_container(pod, run.name) or {"name": run.name}
        text = message or f"Stopping container {run.name}"
        self._reporter.container(pod, container, "Normal", "Killing", text)
        grace = _grace(pod, container, run, probe)
        begun = time.monotonic()
        pre_stop = (container.get("lifecycle") or {}).get("preStop")
        if pre_stop and run.running and grace > 0 and override != 0:
            await self._pre_stop(pod, container, pre_stop, run, override or grace)
        left = max(MINIMUM_GRACE_SECONDS, int(grace - (time.monotonic() - begun)))
        await self._runtime.stop_container(run.id, left if override is None else override)
        await self._cache.refresh_container(run.id)

    async def _pre_stop(self, pod: Obj, container: Obj, handler: Obj, run: Container, seconds: int) -> None:
        sandbox = self._cache.record(podspec.uid(pod)).ready_sandbox
        address = sandbox.ips[0] if sandbox and sandbox.ips else "127.0.0.1"
        try:
            hook = run_hook(self._runtime, pod, container, handler, run.id, address)
            await within(hook, seconds)
        except HookError as error:
            self._reporter.container(pod, container, "Warning", "FailedPreStopHook", "PreStopHook failed")
            log.info("preStop hook of %s/%s: %s", podspec.full_name(pod), container["name"], error)
        except asyncio.TimeoutError:
            log.info("preStop hook of %s/%s used up the grace period", podspec.full_name(pod), container["name"])

    async def pod(self, pod: Obj, record: PodRecord, override: int | None = None) -> None:
        """Stop every running container, sidecars after the others and in reverse order, then the sandboxes. Raises the
        first CriError after trying everything.
        """
        sidecars = [c["name"] for c in podspec.init_containers(pod) if podspec.is_sidecar(c)]
        alive = [c for c in record.containers if c.state.value in ("running", "unknown", "created")]
        first = [c for c in alive if c.name not in sidecars]
        errors = list(
            await asyncio.gather(*(self.container(pod, c, override=override) for c in first), return_exceptions=True)
        )
        for name in reversed(sidecars):
            last = [c for c in alive if c.name == name]
            stops = (self.container(pod, c, override=override) for c in last)
            errors += await asyncio.gather(*stops, return_exceptions=True)
        await self.sandboxes(record, errors)

    async def sandboxes(self, record: PodRecord, errors: list[BaseException | None] | None = None) -> None:
        """Stop every sandbox, also those that claim to be down: only a stop releases the network."""
        found = list(errors or [])
        for sandbox in record.sandboxes:
            try:
                await self._runtime.stop_sandbox(sandbox.id)
                await self._cache.refresh_sandbox(sandbox.id)
            except CriError as error:
                found.append(error)
        for problem in found:
            if isinstance(problem, BaseException):
                raise problem


def _grace(pod: Obj, container: Obj, run: Container, probe: str) -> int:
    """Seconds: the deletion's, else the failed probe's own, else the pod's; what the container was started with for a
    pod nobody knows any more.
    """
    meta = pod["metadata"]
    if meta.get("deletionGracePeriodSeconds") is not None:
        return int(meta["deletionGracePeriodSeconds"])
    own = (container.get(probe) or {}).get("terminationGracePeriodSeconds") if probe else None
    if own is not None:
        return int(own)
    if podspec.spec(pod).get("terminationGracePeriodSeconds") is None:
        text = run.annotations.get(names.POD_TERMINATION_GRACE_PERIOD, "")
        if text.isdigit():
            return int(text)
    return podspec.grace_seconds(pod)

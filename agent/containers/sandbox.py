"""Making a pod's sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import metrics
from agent.containers.sandbox_config import SandboxConfigError, SandboxFacts, sandbox_config
from agent.containers.slots import Slots, Step
from agent.cri.cache import RuntimeCache
from agent.cri.client import CriClient
from agent.cri.errors import CriError, CriUnavailable
from agent.failures import HandlerError, SandboxError
from agent.host import paths
from agent.host.names import NamesError, PodNames
from agent.reporter import Reporter
from apimachinery.objects import Obj

# containerd, before the first network configuration is there.
_NO_NETWORK = "cni plugin not initialized"


@dataclass(frozen=True)
class Sandboxes:
    """`handler` says by which of the runtime's handlers a pod's sandbox runs, and raises HandlerError."""

    runtime: CriClient
    cache: RuntimeCache
    names: PodNames
    handler: Callable[[Obj], Awaitable[str]]
    reporter: Reporter
    starts: Slots
    pod_log_dir: Path

    def config(self, pod: Obj, cgroup: str, attempt: int, *, new: bool) -> Any:
        """PodSandboxConfig; `new`: of one that is to be made, of which the user is told. Raises SandboxError."""
        logs = str(paths.log_directory(self.pod_log_dir, pod))
        try:
            names = self.names.of(pod, warn=new)
            return sandbox_config(pod, SandboxFacts(names.resolver, names.hostname, logs, cgroup, attempt))
        except (NamesError, SandboxConfigError) as error:
            raise self._failed(pod, error, tell=new) from error

    async def make(self, pod: Obj, config: Any) -> str:
        """The new sandbox's id, seen by the cache. Raises SandboxError, CriUnavailable."""
        metrics.STARTED_PODS.inc()
        Path(config.log_directory).mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            handler = await self.handler(pod)
            async with self.starts.hold(Step.SANDBOX):
                sandbox_id = await self.runtime.run_sandbox(config, handler)
        except CriUnavailable:
            raise
        except CriError as error:
            if _NO_NETWORK in error.message:
                text = f"network is not ready: {error.message}"
                self.reporter.pod(pod, "Warning", "NetworkNotReady", text)
                raise SandboxError(text, network=True) from error
            raise self._failed(pod, error) from error
        except HandlerError as error:
            raise self._failed(pod, error) from error
        await self._look(pod, sandbox_id)
        return sandbox_id

    def _failed(self, pod: Obj, error: Exception, *, tell: bool = True) -> SandboxError:
        text = f"Failed to create pod sandbox: {error}"
        metrics.STARTED_PODS_ERRORS.inc()
        if tell:
            self.reporter.pod(pod, "Warning", "FailedCreatePodSandBox", text)
        return SandboxError(text)

    async def _look(self, pod: Obj, sandbox_id: str) -> None:
        try:
            await self.cache.refresh_sandbox(sandbox_id)
        except CriUnavailable:
            raise
        except CriError as error:
            text = f"Unable to get pod sandbox status: {error}"
            self.reporter.pod(pod, "Warning", "FailedPodSandBoxStatus", text)
            raise SandboxError(text) from error

"""The probes of one running container: startup first, then liveness and readiness side by side."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.cri import health
from agent.probes import metrics
from agent.probes.checks import (
    ExecRuntime,
    Outcome,
    Verdict,
    exec_check,
    http_check,
    http_request,
    resolve_port,
    tcp_check,
)
from agent.probes.counter import Count, ProbeSpec, count
from agent.reporter import Reporter
from apimachinery.objects import Obj


@dataclass(frozen=True)
class Target:
    pod: Obj
    container: Obj
    container_id: str
    pod_ip: str
    started_at: float
    """Seconds since the epoch."""


async def check(runtime: ExecRuntime, target: Target, probe: Obj, timeout: float) -> Verdict:
    """One attempt of any kind of probe."""
    try:
        if "exec" in probe:
            command = probe["exec"].get("command") or []
            return await exec_check(runtime, target.container_id, command, timeout)
        if "httpGet" in probe:
            return await http_check(http_request(probe["httpGet"], target.container, target.pod_ip), timeout)
        if "tcpSocket" in probe:
            action = probe["tcpSocket"]
            port = resolve_port(action["port"], target.container)
            return await tcp_check(action.get("host") or target.pod_ip, port, timeout)
        if "grpc" in probe:
            return await _grpc(target, probe["grpc"], timeout)
    except ValueError as error:
        return Verdict(Outcome.UNKNOWN, str(error))
    return Verdict(Outcome.UNKNOWN, f"missing probe handler for {target.container['name']}")


async def _grpc(target: Target, action: Obj, timeout: float) -> Verdict:
    service = action.get("service") or ""
    try:
        status = await health.serving(target.pod_ip, int(action["port"]), service, timeout)
    except health.HealthError as error:
        return Verdict(Outcome.FAILURE, str(error))
    if status == health.SERVING:
        return Verdict(Outcome.SUCCESS, "service healthy")
    return Verdict(Outcome.FAILURE, f"service unhealthy (responded with {status})")


class ContainerProber:
    """Verdicts: None is "not known yet". `ready` starts as what was reported before a restart of the
    agent."""

    def __init__(
        self,
        runtime: ExecRuntime,
        reporter: Reporter,
        target: Target,
        on_change: Callable[[], None],
        *,
        adopted_ready: bool,
        adopted_started: bool,
    ) -> None:
        self._runtime = runtime
        self._reporter = reporter
        self.target = target
        self._on_change = on_change
        container = target.container
        self.ready = adopted_ready or not container.get("readinessProbe")
        self.startup: bool | None = True if adopted_started or not container.get("startupProbe") else None
        self.liveness: bool | None = None
        self._adopted = adopted_ready or adopted_started
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._dying = False

    def stop(self) -> None:
        self._task.cancel()

    def stop_killing(self) -> None:
        """The pod terminates: readiness goes on, liveness and startup no longer matter."""
        self._dying = True

    async def _run(self) -> None:
        container = self.target.container
        if self.startup is None:
            await self._startup(container["startupProbe"])
        loops = []
        if container.get("livenessProbe"):
            loops.append(self._liveness(container["livenessProbe"]))
        if container.get("readinessProbe"):
            loops.append(self._readiness(container["readinessProbe"]))
        await asyncio.gather(*loops)

    async def _startup(self, probe: Obj) -> None:
        spec, state = ProbeSpec.of(probe), Count()
        await self._initial(spec)
        while True:
            state = await self._attempt("Startup", probe, spec, state)
            if state.verdict is not None and not self._dying:
                self.startup = state.verdict
                self._on_change()
                if state.verdict:
                    return
                await asyncio.Event().wait()
            await asyncio.sleep(spec.period)

    async def _liveness(self, probe: Obj) -> None:
        spec, state = ProbeSpec.of(probe), Count(verdict=True)
        await self._initial(spec)
        while not self._dying:
            state = await self._attempt("Liveness", probe, spec, state)
            if state.verdict is False and not self._dying:
                self.liveness = False
                self._on_change()
                # Held until the container is replaced, and this prober with it.
                return
            await asyncio.sleep(spec.period)

    async def _readiness(self, probe: Obj) -> None:
        spec, state = ProbeSpec.of(probe), Count(verdict=self.ready)
        await self._initial(spec)
        while True:
            state = await self._attempt("Readiness", probe, spec, state)
            if state.verdict is not None and state.verdict != self.ready:
                self.ready = state.verdict
                self._on_change()
            await asyncio.sleep(spec.period)

    async def _initial(self, spec: ProbeSpec) -> None:
        """The initial delay counts from the container's start. After an agent's restart every pod's probes would fire
        at once, so adopted ones are spread over their period.
        """
        wait = self.target.started_at + spec.initial_delay - time.time()
        if self._adopted:
            wait = max(wait, random.random() * spec.period)
        if wait > 0:
            await asyncio.sleep(wait)

    async def _attempt(self, kind: str, probe: Obj, spec: ProbeSpec, state: Count) -> Count:
        verdict, began = Verdict(Outcome.UNKNOWN), time.monotonic()
        for _ in range(3):
            verdict = await check(self._runtime, self.target, probe, spec.timeout)
            if verdict.outcome is not Outcome.UNKNOWN:
                break
        pod, container = self.target.pod, self.target.container
        metrics.probed(kind, pod, container["name"], verdict.outcome, time.monotonic() - began)
        if verdict.outcome is Outcome.UNKNOWN:
            text = f"{kind} probe errored and resulted in unknown state: {verdict.output}"
            self._reporter.container(pod, container, "Warning", "Unhealthy", text)
            return state
        if verdict.outcome is Outcome.FAILURE:
            text = f"{kind} probe failed: {verdict.output}"
            self._reporter.container(pod, container, "Warning", "Unhealthy", text)
        if verdict.warning:
            self._reporter.container(
                pod, container, "Warning", "ProbeWarning", f"{kind} probe warning: {verdict.output}"
            )
        return count(state, verdict.outcome is Outcome.SUCCESS, spec)

"""All probers, by container id, and what they say about a pod."""

from __future__ import annotations

from collections.abc import Callable

from agent import podspec
from agent.cri.model import Container, PodRecord
from agent.probes import metrics
from agent.probes.checks import ExecRuntime
from agent.probes.prober import ContainerProber, Target
from agent.probes.verdicts import ProbeVerdicts
from agent.reporter import Reporter
from apimachinery.objects import Obj

_KINDS = ("livenessProbe", "readinessProbe", "startupProbe")


class Probes:
    def __init__(self, runtime: ExecRuntime, reporter: Reporter) -> None:
        self._runtime = runtime
        self._reporter = reporter
        self._listeners: list[Callable[[str], None]] = []
        self._probers: dict[str, ContainerProber] = {}
        self._probed: dict[str, dict[str, Obj]] = {}
        """Pods by uid and name of a container that is or was probed: their series end with the pod."""

    def on_change(self, listener: Callable[[str], None]) -> None:
        """`listener(uid)` is called when a verdict of the pod changed."""
        self._listeners.append(listener)

    def _tell(self, uid: str) -> None:
        for listener in self._listeners:
            listener(uid)

    def sync(self, pod: Obj, record: PodRecord, pod_ip: str, reported: Obj) -> None:
        """Start probers of running containers, stop those of ended ones. `reported`: the pod's status as last known,
        from which a container that was ready before the agent's restart is still ready.
        """
        uid = podspec.uid(pod)
        running = {c.id: c for c in record.running}
        for container_id in [i for i, p in self._probers.items() if podspec.uid(p.target.pod) == uid]:
            if container_id not in running:
                self._probers.pop(container_id).stop()
        for container in podspec.all_containers(pod):
            newest = record.newest(container["name"])
            if newest is None or newest.id not in running or newest.id in self._probers:
                continue
            if not pod_ip and not podspec.host_network(pod):
                continue
            if any(container.get(kind) for kind in _KINDS):
                self._probed.setdefault(uid, {})[container["name"]] = pod
                self._probers[newest.id] = self._start(pod, container, newest, pod_ip, reported)

    def _start(self, pod: Obj, container: Obj, run: Container, pod_ip: str, reported: Obj) -> ContainerProber:
        uid = podspec.uid(pod)
        ready = started = False
        for kind in ("containerStatuses", "initContainerStatuses"):
            for status in reported.get(kind) or ():
                if str(status.get("containerID", "")).endswith("://" + run.id):
                    ready, started = bool(status.get("ready")), bool(status.get("started"))
        prober = ContainerProber(
            self._runtime,
            self._reporter,
            Target(pod, container, run.id, pod_ip, run.started_at / 1e9),
            lambda: self._tell(uid),
            adopted_ready=ready,
            adopted_started=started,
        )
        if podspec.deleting(pod):
            prober.stop_killing()
        return prober

    def verdicts(self, record: PodRecord) -> ProbeVerdicts:
        probers = {c.id: self._probers[c.id] for c in record.running if c.id in self._probers}
        return ProbeVerdicts(
            liveness_failed=frozenset(i for i, p in probers.items() if p.liveness is False),
            startup_failed=frozenset(i for i, p in probers.items() if p.startup is False),
            startup_passed=frozenset(i for i, p in probers.items() if p.startup is True),
        )

    def readiness(self, pod: Obj, record: PodRecord) -> tuple[frozenset[str], frozenset[str]]:
        """(ids of ready containers, ids of started containers)."""
        ready, started = set(), set()
        for run in record.running:
            prober = self._probers.get(run.id)
            container = podspec.find_container(pod, run.name)
            if container is None:
                continue
            if prober is None:
                # Not looked at yet: whoever has a probe waits for it.
                if not container.get("startupProbe"):
                    started.add(run.id)
                    if not container.get("readinessProbe"):
                        ready.add(run.id)
                continue
            if prober.startup:
                started.add(run.id)
                if prober.ready:
                    ready.add(run.id)
        return frozenset(ready), frozenset(started)

    def terminating(self, uid: str) -> None:
        for prober in self._probers.values():
            if podspec.uid(prober.target.pod) == uid:
                prober.stop_killing()

    def forget(self, uid: str) -> None:
        for container_id in [i for i, p in self._probers.items() if podspec.uid(p.target.pod) == uid]:
            self._probers.pop(container_id).stop()
        for container, pod in self._probed.pop(uid, {}).items():
            metrics.forget(pod, container)

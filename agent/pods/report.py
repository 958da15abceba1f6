"""What one pod's status says, from the runtime's record and the probes' verdicts.

The worker reports at the beginning and end of each step; while a step waits (a pull, a grace period, a hook, a mount)
whoever learns of a change has the pod's report made anew. Nothing here waits or touches the runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agent import metrics, podspec
from agent.containers.termination import termination_message
from agent.cri.model import PodRecord, State
from agent.probes.probers import Probes
from agent.status.conditions import with_foreign_conditions
from agent.status.containers import Observations, Waiting
from agent.status.phase import TERMINAL
from agent.status.pod_status import StatusFacts, Verdict, pod_status
from agent.status.writer import StatusSink
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now


class PodReport:
    """One pod's. `node_ips` is asked each time, and `devices` how those of its containers are."""

    def __init__(
        self,
        pod: Obj,
        probes: Probes,
        statuses: StatusSink,
        node_ips: Callable[[], Sequence[str]],
        devices: Callable[[Obj], Mapping[str, list[Obj]]],
    ) -> None:
        self.status: Obj = dict(pod.get("status") or {})
        self.verdict: Verdict | None = None
        self.waiting: dict[str, Waiting] = {}
        """Why containers, by name, could not be started last time."""
        self.resizes: dict[str, Obj] = {}
        """Conditions of a resize that waits or is under way, by type."""
        self.over = self.status.get("phase") in TERMINAL
        """Whether its containers or a verdict say that the pod has ended; its phase says so once nothing runs."""
        self._probes = probes
        self._statuses = statuses
        self._node_ips = node_ips
        self._devices = devices
        self._messages: dict[str, str] = {}

    def reported(self, status: Obj) -> None:
        """The status as the API shows it: conditions that others put there are kept."""
        self.status = with_foreign_conditions(self.status, status)

    def observe(self, pod: Obj, record: PodRecord) -> None:
        """Probes follow the containers; messages of ended ones are read once."""
        sandbox = record.ready_sandbox
        ips = sandbox.ips if sandbox else ()
        if podspec.host_network(pod) and not ips:
            ips = tuple(self._node_ips())
        self._probes.sync(pod, record, ips[0] if ips else "", self.status)
        for run in record.containers:
            if run.state is State.EXITED and run.id not in self._messages:
                self._messages[run.id] = termination_message(run)

    def started(self, record: PodRecord) -> None:
        """Containers that run now wait for nothing."""
        for name in list(self.waiting):
            run = record.newest(name)
            if run is not None and run.running:
                del self.waiting[name]

    def make(self, pod: Obj, record: PodRecord, *, stopping: bool, terminal: bool = False, tell: bool = True) -> None:
        """Compute the status and hand it on if it changed. `terminal`: everything was stopped for good; `tell`
        False: the pod's object is gone, nobody is told."""
        ready, started = self._probes.readiness(pod, record)
        facts = StatusFacts(
            old=self.status,
            now=format_time(now()),
            containers=Observations(
                waiting=self.waiting,
                ready=ready,
                started=started,
                messages=self._messages,
                terminating=stopping,
                devices=self._devices(pod),
            ),
            node_ips=tuple(self._node_ips()),
            verdict=self.verdict,
            resizes=tuple(self.resizes.values()),
            terminal=terminal,
        )
        status = pod_status(pod, record, facts)
        self.over = self.over or status["phase"] in TERMINAL
        status = _not_before_its_end(self.status, status, record)
        if status != self.status:
            metrics.count_ends(self.status, status)
            self.status = status
            if tell:
                self._statuses.set(pod, status)


def _not_before_its_end(old: Obj, new: Obj, record: PodRecord) -> Obj:
    """A phase is terminal only once nothing of the pod runs: whoever sees it may give its resources away."""
    if new["phase"] not in TERMINAL or old.get("phase") in TERMINAL or not record.running:
        return new
    kept: Obj = {key: old[key] for key in ("phase", "reason", "message") if key in old}
    without = {key: value for key, value in new.items() if key not in ("phase", "reason", "message")}
    return {"phase": "Pending", **kept, **without}

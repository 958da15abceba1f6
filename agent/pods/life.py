"""How far one pod is, and what is wished of it: what the stages share."""

from __future__ import annotations

import asyncio
import time

from agent import podspec
from agent.cri.model import PodRecord
from agent.pods.attempts import Attempts
from agent.pods.backoff import CRASHES_FORGOTTEN_SECONDS, Backoff
from agent.pods.extract import WantedPod, wanted_pod
from agent.pods.lifecycle import Stage, move
from agent.pods.report import PodReport
from agent.pods.shared import Neighbours, Shared
from agent.status.phase import TERMINAL
from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time


class Life:
    """`removed`: the pod has left its source. `wake`: something was seen; `wish`: something new is wished for;
    `stop`: nothing more is to be started; `stopped`: nothing of it runs."""

    def __init__(self, shared: Shared, neighbours: Neighbours, pod: Obj, *, removed: bool) -> None:
        self.shared = shared
        self.neighbours = neighbours
        self.uid = podspec.uid(pod)
        self.removed = removed
        self.stage = Stage.ADMITTING
        self.report = PodReport(pod, shared.probes, shared.statuses, shared.node_ips)
        ceiling = shared.settings.max_container_backoff_seconds
        self.attempts = Attempts(Backoff(ceiling=ceiling, forgotten=CRASHES_FORGOTTEN_SECONDS), time.time())
        self.due = 0.0
        """When the next step is due though nothing happens (seconds since the epoch); 0: at the next resync."""
        self.wake, self.wish = asyncio.Event(), asyncio.Event()
        self.stop, self.stopped = asyncio.Event(), asyncio.Event()
        self.killing: asyncio.Task[None] | None = None
        self.pod = pod
        self._wanted = wanted_pod(pod)

    @property
    def wanted(self) -> WantedPod:
        """The pod as the planner takes it."""
        return self._wanted

    def replace(self, pod: Obj) -> None:
        """A newer version of the object."""
        self.pod, self._wanted = pod, wanted_pod(pod)

    @property
    def record(self) -> PodRecord:
        """What the runtime holds of it now."""
        return self.shared.cache.record(self.uid)

    @property
    def doomed(self) -> bool:
        """Somebody wishes its end."""
        return self.stop.is_set() or self.removed or podspec.deleting(self.pod)

    @property
    def holds_room(self) -> bool:
        """Whether what the pod asks of the node is taken: admitted (by an earlier agent, where the runtime has
        something of it), and not at its end. A pod that left its source is its successor's to replace."""
        if self.removed or self.report.status.get("phase") in TERMINAL:
            return False
        if self.stage in (Stage.ADMITTING, Stage.TERMINATING):
            return bool(self.record.sandboxes or self.record.containers)
        return self.stage is Stage.SYNC

    @property
    def deadline(self) -> float:
        """When activeDeadlineSeconds are over (seconds since the epoch); 0: never."""
        seconds = podspec.spec(self.pod).get("activeDeadlineSeconds")
        started = self.report.status.get("startTime")
        if seconds is None or not started:
            return 0.0
        return parse_time(started).timestamp() + float(seconds)

    def to(self, stage: Stage) -> None:
        """The next stage, whose step is due at once."""
        self.stage = move(self.stage, stage)
        if stage is Stage.TERMINATING:
            self.stop.set()
            self.shared.probes.terminating(self.uid)
        self.wake.set()

    def wished(self) -> None:
        """Something new is wished for: whatever was put off is due."""
        self.wish.set()
        self.wake.set()

    # --- reporting

    def tell(self, record: PodRecord, *, terminal: bool = False) -> None:
        """Look at the containers, and report. `terminal`: everything was stopped for good."""
        self.report.observe(self.pod, record)
        self.publish(record, terminal=terminal)

    def publish(self, record: PodRecord, *, terminal: bool = False) -> None:
        """Report what is known."""
        stopping = self.stage not in (Stage.ADMITTING, Stage.SYNC)
        self.report.make(self.pod, record, stopping=stopping, terminal=terminal, tell=not self.removed)

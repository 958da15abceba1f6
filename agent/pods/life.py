"""How far one pod is, and what is wished of it: what the stages share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent import podspec
from agent.cri.model import Limits, PodRecord
from agent.pods import resize
from agent.pods.attempts import Attempts
from agent.pods.backoff import CRASHES_FORGOTTEN_SECONDS, Backoff
from agent.pods.extract import WantedPod, wanted_pod
from agent.pods.lifecycle import Stage, move
from agent.pods.report import PodReport
from agent.pods.resize import granted_pod
from agent.pods.shared import Neighbours, Shared
from agent.status.conditions import RESIZE_IN_PROGRESS, resize_condition
from agent.status.phase import TERMINAL
from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time


@dataclass(frozen=True)
class Resizing:
    """A pod granted something new: what it had `before` (None: not known), `since` when, and what the runtime took last
    of it, by container id."""

    before: Obj | None
    since: int
    applied: Mapping[str, Limits]


class Life:
    """`removed`: the pod has left its source. `wake`: something was seen; `wish`: something new is wished for;
    `stop`: nothing more is to be started; `stopped`: nothing of it runs."""

    def __init__(self, shared: Shared, neighbours: Neighbours, pod: Obj, *, removed: bool) -> None:
        self.shared = shared
        self.neighbours = neighbours
        self.uid = podspec.uid(pod)
        self.removed = removed
        self.stage = Stage.ADMITTING
        self.has_room = False
        """Whether it has been decided that it may run here."""
        self.report = PodReport(pod, shared.probes, shared.statuses, shared.node_ips, shared.device_health)
        ceiling = shared.settings.max_container_backoff_seconds
        self.attempts = Attempts(Backoff(ceiling=ceiling, forgotten=CRASHES_FORGOTTEN_SECONDS), time.time())
        self.due = 0.0
        """When the next step is due though nothing happens (seconds since the epoch); 0: at the next resync."""
        self.wake, self.wish = asyncio.Event(), asyncio.Event()
        self.stop, self.stopped = asyncio.Event(), asyncio.Event()
        self.killing: asyncio.Task[None] | None = None
        self.asked = pod
        """The object as its source has it; `pod` is what the node granted of it."""
        self._grant = resize.remembered(pod)
        self._resizing = self._left_over()
        self.resize_due = 0.0
        """When a resize that failed is tried again (seconds since the epoch)."""
        self.pod = granted_pod(pod, self._grant)
        self._want()

    def _left_over(self) -> Resizing | None:
        """A resize that an agent before this one told of and may have come anywhere with."""
        for told in self.report.status.get("conditions") or ():
            if told["type"] == RESIZE_IN_PROGRESS:
                why = told.get("reason") or "", told.get("message") or ""
                self.report.resizes[RESIZE_IN_PROGRESS] = resize_condition(
                    RESIZE_IN_PROGRESS, told.get("observedGeneration"), *why
                )
                return Resizing(None, time.time_ns(), {})
        return None

    @property
    def wanted(self) -> WantedPod:
        """The pod as the planner takes it."""
        return self._wanted

    def replace(self, pod: Obj) -> None:
        """A newer version of the object."""
        self.asked, self.pod = pod, granted_pod(pod, self._grant)
        self._want()

    def grant(self, now: int) -> None:
        """The node has room for what the object asks for. `now`: nanoseconds since the epoch."""
        before = self._resizing.before if self._resizing else self.pod
        applied = self._resizing.applied if self._resizing else {}
        self._resizing, self.resize_due = Resizing(before, now, applied), 0.0
        self._grant, self.pod = resize.asked(self.asked), self.asked
        self._want()

    def resized(self, container_id: str, limits: Limits) -> None:
        """The runtime holds a container to what it was granted."""
        if self._resizing is not None:
            self._resizing = replace(self._resizing, applied={**self._resizing.applied, container_id: limits})
            self._want()

    def resize_over(self) -> None:
        """Everything is as it was granted."""
        self._resizing = None
        self._want()

    @property
    def resizing(self) -> bool:
        """Whether what was granted last is still to be brought about."""
        return self._resizing is not None

    def _want(self) -> None:
        at = self._resizing
        found = resize.resizes(at.before, self.pod, at.since, at.applied) if at is not None else {}
        self._wanted = wanted_pod(self.pod, found)

    def due_within(self, seconds: float) -> None:
        """The next step comes no later than that."""
        then = time.time() + seconds
        self.due = min(self.due, then) if self.due else then

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
            admitted = self.stage is Stage.ADMITTING and self.has_room
            return admitted or bool(self.record.sandboxes or self.record.containers)
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

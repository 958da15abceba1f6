"""One pod's life: a task that looks, plans, applies and reports whenever something changed.

Nothing else touches the pod's containers. A wake-up during a step leads to one more step, and at once to a report of
what is known by then; a pod that is to be terminated interrupts whatever waits (a pull, a hook, a volume), never a
call to the runtime that is under way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent import podspec
from agent.admission import preemption
from agent.admission.gate import Gate
from agent.containers.interrupt import Interrupted, unless
from agent.cri.errors import CriError, CriTimeout, CriUnavailable
from agent.cri.model import PodRecord
from agent.errors import VolumeError
from agent.host import paths
from agent.host.cgroups import Cgroups
from agent.pods.actions import COLLECTION, SANDBOX, Hold, Pace, PodActions
from agent.pods.applier import Applier, Parts, SandboxError
from agent.pods.attempts import Attempts
from agent.pods.cleaning import clean, collect
from agent.pods.lifecycle import Stage, move
from agent.pods.plan import plan_pod
from agent.pods.report import PodReport
from agent.probes.registry import Probes
from agent.status.containers import Waiting
from agent.status.phase import TERMINAL
from agent.status.pod_status import Verdict
from agent.status.writer import StatusSink
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time

log = logging.getLogger(__name__)

# Calls in a row that the runtime broke off before it is believed to answer everything but this one.
_UNSEEN_TRIES = 3
# What happens while a step waits is reported after this long: many small changes are one report.
_REPORT_SECONDS = 0.1
_DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


@dataclass(frozen=True)
class WorkerParts:
    """Shared by all workers."""

    parts: Parts
    applier: Applier
    probes: Probes
    cgroups: Cgroups | None
    statuses: StatusSink
    gate: Gate
    make_room: Callable[[tuple[str, ...]], Awaitable[None]]
    """Ends the pods of these uids for a critical one; returns when nothing of them runs."""
    on_end: Callable[[str], None]


class PodWorker:
    """``removed`` pods have left their source: they are stopped, cleaned and forgotten."""

    def __init__(self, shared: WorkerParts, pod: Obj, *, removed: bool = False) -> None:
        self._shared = shared
        self.pod = pod
        self.uid = podspec.uid(pod)
        self.stage = Stage.SYNC
        self.removed = removed
        parts = shared.parts
        self._report = PodReport(pod, shared.probes, shared.statuses, parts.names.node_ips)
        self._attempts = Attempts(parts.backoff, time.time())
        self._admitted = False
        self._retry_at = 0.0
        self._failed_step = False
        self._unseen = 0
        self._busy = False
        self._reporting: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._wish = asyncio.Event()
        self._stop = asyncio.Event()
        self._stopped = asyncio.Event()
        self._killing: asyncio.Task[None] | None = None
        self._hurried = False
        self._stale = False
        self._wake.set()
        self._cleaned = False
        self._released = False
        self.task: asyncio.Task[None] | None = None

    @property
    def status(self) -> Obj:
        """The status as it is reported."""
        return self._report.status

    # --- inputs

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"pod {podspec.full_name(self.pod)}")

    def wake(self) -> None:
        """Something was seen: a container's end, a probe's verdict."""
        self._wake.set()
        if self._busy and self._admitted and self._reporting is None:
            # The step that this leads to may be a long way off.
            self._reporting = asyncio.get_running_loop().call_later(_REPORT_SECONDS, self._report_now)

    def refresh(self) -> None:
        """An object the pod refers to changed: what its volumes show is brought up to date."""
        self._stale = True
        self._attempts.objects_changed()
        self._wanted()

    def update(self, pod: Obj) -> None:
        """A newer specification, or the wish to delete it."""
        before, self.pod = self.pod, pod
        foreign = self._report.status
        self._report.reported(pod.get("status") or {})
        if podspec.deleting(pod):
            self._stop.set()
            self._hurry(before)
        if _acted_on(before) != _acted_on(pod) or foreign != self._report.status:
            self._wanted()

    def _hurry(self, before: Obj) -> None:
        """Asked again with less patience: the stop under way is abandoned for a quicker one."""
        old = before["metadata"].get("deletionGracePeriodSeconds")
        new = self.pod["metadata"].get("deletionGracePeriodSeconds")
        if old is not None and new is not None and new < old and self._killing is not None:
            self._hurried = True
            self._killing.cancel()

    @property
    def holds_room(self) -> bool:
        """Whether what the pod asks of the node is taken: admitted (by an earlier agent, where the runtime has
        something of it), and not at its end. A pod that left its source is its successor's to replace."""
        if self.removed or self.stage not in (Stage.SYNC, Stage.TERMINATING) or self.status.get("phase") in TERMINAL:
            return False
        record = self._shared.parts.cache.record(self.uid)
        return self._admitted or bool(record.sandboxes or record.containers)

    async def preempt(self) -> None:
        """End the pod for a critical one; returns when nothing of it runs."""
        if self._report.verdict is None and self.stage is Stage.SYNC:
            why = Verdict(preemption.REASON, preemption.MESSAGE, disruption=preemption.CONDITION_MESSAGE)
            self._report.verdict = why
            self._shared.parts.reporter.pod(self.pod, "Warning", preemption.REASON, preemption.MESSAGE)
        self._stop.set()
        self._wanted()
        await self._stopped.wait()

    def remove(self) -> None:
        """Gone from its source."""
        self.removed = True
        self._stop.set()
        self._wanted()

    def _wanted(self) -> None:
        """Something new is wished for: whatever was put off is due."""
        self._wish.set()
        self._wake.set()

    # --- the loop

    async def _run(self) -> None:
        while not (self.removed and self.stage is Stage.FINISHED and self._cleaned):
            await self._pause()
            self._wake.clear()
            self._wish.clear()
            self._busy = True
            try:
                if self._unseen:
                    await self._shared.parts.cache.seen_anew()
                await self._step()
                self._failed_step, self._unseen = False, 0
            except Interrupted:
                self._failed_step = False
                self._wake.set()
            except (CriUnavailable, CriTimeout) as error:
                self._lost(error)
            except (CriError, VolumeError, OSError) as error:
                self._put_off(error)
            except Exception as error:
                log.exception("pod %s", podspec.full_name(self.pod))
                self._put_off(error)
            # What is put off goes on being reported.
            self._busy = self._failed_step
        if self._reporting is not None:
            self._reporting.cancel()
        self._shared.on_end(self.uid)

    def _lost(self, error: CriError) -> None:
        """Whether the call took effect is unknown: nothing is done before the runtime was looked at again."""
        log.debug("pod %s: %s", podspec.full_name(self.pod), error.detail)
        self._unseen += 1
        self._failed_step = False
        self._wake.set()
        if self._unseen > _UNSEEN_TRIES:
            # It answers, but not to this.
            self._put_off(error)

    def _put_off(self, error: Exception) -> None:
        log.warning("pod %s: %s", podspec.full_name(self.pod), error)
        self._failed_step = True
        self._retry_at = self._attempts.later(time.time())

    async def _pause(self) -> None:
        """Until something happened, or something is due; after a failure only until a new wish or its time."""
        due = self._next_due()
        event = self._wish if self._failed_step else self._wake
        if due is None:
            await event.wait()
            return
        await is_set_within(event, due - time.time())

    def _next_due(self) -> float | None:
        if self.stage is Stage.FINISHED and self._cleaned and not self._failed_step:
            return None
        due = time.time() + self._shared.parts.settings.resync_seconds
        if self._retry_at:
            due = min(due, self._retry_at)
        deadline = self._deadline()
        if deadline and self._report.verdict is None and self.stage is Stage.SYNC:
            due = min(due, deadline)
        return due

    def _deadline(self) -> float:
        seconds = podspec.spec(self.pod).get("activeDeadlineSeconds")
        started = self.status.get("startTime")
        if seconds is None or not started:
            return 0.0
        return parse_time(started).timestamp() + float(seconds)

    async def _step(self) -> None:
        self._retry_at = 0.0
        if self.stage is Stage.SYNC and self._must_terminate():
            self._to(Stage.TERMINATING)
        if self.stage is Stage.SYNC:
            await self._sync()
        elif self.stage is Stage.TERMINATING:
            await self._terminate()
        elif self.stage is Stage.TERMINATED:
            await self._release()
        else:
            await self._finish()

    def _to(self, stage: Stage) -> None:
        self.stage = move(self.stage, stage)
        if stage is Stage.TERMINATING:
            self._stop.set()
            self._shared.probes.terminating(self.uid)
        self._wake.set()

    def _must_terminate(self) -> bool:
        if self._stop.is_set() or self.removed or podspec.deleting(self.pod):
            return True
        if self._report.over or self._report.verdict is not None:
            return True
        deadline = self._deadline()
        if deadline and time.time() >= deadline:
            self._report.verdict = Verdict("DeadlineExceeded", _DEADLINE_MESSAGE)
            self._shared.parts.reporter.pod(self.pod, "Normal", "DeadlineExceeded", _DEADLINE_MESSAGE)
            return True
        return False

    # --- reporting

    def _tell(self, record: PodRecord, *, terminal: bool = False) -> None:
        """Look at the containers, and report."""
        self._report.observe(self.pod, record)
        self._make_report(record, terminal=terminal)

    def _make_report(self, record: PodRecord, *, terminal: bool = False) -> None:
        stopping = self.stage is not Stage.SYNC
        self._report.make(self.pod, record, stopping=stopping, terminal=terminal, tell=not self.removed)

    def _report_now(self) -> None:
        """Something was seen while a step waits."""
        self._reporting = None
        if self.stage in (Stage.SYNC, Stage.TERMINATING):
            try:
                self._tell(self._shared.parts.cache.record(self.uid))
            except Exception:
                log.exception("pod %s: report", podspec.full_name(self.pod))

    # --- running

    async def _sync(self) -> None:
        shared, parts = self._shared, self._shared.parts
        record = parts.cache.record(self.uid)
        if not await self._admit(record):
            return
        self._report.observe(self.pod, record)
        pace = self._attempts.pace(self.pod, record, time.time())
        actions = plan_pod(self.pod, record, shared.probes.verdicts(record), pace)
        self._hold_back(actions)
        self._report.started(record)
        self._make_report(record)
        if self._report.over:
            self._wake.set()
            return
        if shared.cgroups is not None:
            shared.cgroups.weigh(self.pod)
        if self._stale:
            # Not before the first start: that prepares them anyhow.
            self._stale = False
            if record.running:
                await self._prepare()
        if actions.idle:
            await self._collect(record, pace)
            return
        await self._act(record, actions)

    async def _collect(self, record: PodRecord, pace: Pace) -> None:
        """Old runs go; one that will not must not keep its successors from being started."""
        if pace.held(COLLECTION):
            return
        try:
            await collect(self._shared.parts, record)
        except CriUnavailable:
            raise
        except (CriError, OSError) as error:
            log.warning("pod %s: cannot collect old runs: %s", podspec.full_name(self.pod), error)
            self._attempts.failed(self.pod, COLLECTION, Hold(self._attempts.later(time.time())))

    async def _act(self, record: PodRecord, actions: PodActions) -> None:
        shared, parts = self._shared, self._shared.parts
        cgroup = self._ensure_cgroup()
        if (actions.init or actions.containers or actions.ephemeral) and not await self._prepare():
            self._wake.set()
            return
        try:
            outcome = await shared.applier.apply(self.pod, record, actions, cgroup, self._stop, self._attempts)
        except SandboxError as error:
            self._attempts.failed(self.pod, SANDBOX, Hold(self._attempts.later(time.time(), error.seconds)))
            self._wake.set()
            return
        self._attempts.succeeded(SANDBOX)
        self._report.waiting.update(outcome.waiting)
        for name in outcome.started:
            self._report.waiting.pop(name, None)
        self._tell(parts.cache.record(self.uid))
        # The next container in line must not wait for an event; and what failed has its date now.
        self._wake.set()

    def _hold_back(self, actions: PodActions) -> None:
        """What must wait says why, and the user hears of each back-off once."""
        self._retry_at = actions.due
        for name, hold in actions.held.items():
            container = podspec.find_container(self.pod, name)
            if container is None or not hold.reason:
                continue
            self._report.waiting[name] = Waiting(hold.reason, hold.message)
            kind, reason, text = hold.event
            if text and self._attempts.news(name, hold.reason, hold.until):
                self._shared.parts.reporter.container(self.pod, container, kind, reason, text)

    def _ensure_cgroup(self) -> str:
        """The pod's cgroup, as the runtime is told it. Raises OSError after telling the user."""
        if self._shared.cgroups is None:
            return ""
        try:
            return self._shared.cgroups.ensure_pod(self.pod)
        except OSError as error:
            text = f"unable to ensure pod container exists: {error.strerror or error}"
            self._shared.parts.reporter.pod(self.pod, "Warning", "FailedCreatePodContainer", text)
            raise

    async def _admit(self, record: PodRecord) -> bool:
        if self._admitted or record.containers or record.sandboxes:
            self._admitted = True
            return True
        gate = self._shared.gate
        decision = await gate.reconsider(self.pod, gate.decide(self.pod))
        if (refusal := decision.refusal) is not None:
            text = f"Pod was rejected: {refusal.message}"
            self._report.verdict = Verdict(refusal.reason, text, started=False)
            self._shared.parts.reporter.pod(self.pod, "Warning", refusal.reason, refusal.message)
            self._make_report(record)
            self._wake.set()
            return False
        # From here on its room is taken, also while others leave it.
        self._admitted = True
        if decision.victims:
            await unless(self._stop, self._shared.make_room(decision.victims))
        return True

    async def _prepare(self) -> bool:
        """Directories and volumes; False after putting off what failed and telling the user."""
        parts = self._shared.parts
        directory = paths.pod_directory(parts.settings.root_dir, self.uid)
        for folder in (directory, directory / "volumes", directory / "plugins", directory / "containers"):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            await unless(self._stop, parts.volumes.prepare(self.pod))
        except VolumeError as error:
            if self._attempts.volumes_failed(self.pod, time.time(), settling=error.settling):
                parts.reporter.pod(self.pod, "Warning", "FailedMount", str(error))
            return False
        self._attempts.volumes_ready()
        return True

    # --- stopping

    async def _terminate(self) -> None:
        parts = self._shared.parts
        record = parts.cache.record(self.uid)
        self._tell(record)
        kill = parts.killer.pod(self.pod, record)
        self._killing = asyncio.get_running_loop().create_task(kill)
        try:
            await self._killing
        except asyncio.CancelledError:
            if not self._hurried:
                raise
            self._hurried = False
            self._wake.set()
            return
        except CriUnavailable:
            raise
        except CriError as error:
            parts.reporter.pod(self.pod, "Warning", "FailedKillPod", f"error killing pod: {error}")
            raise
        finally:
            self._killing = None
        record = parts.cache.record(self.uid)
        if record.running:
            # Something appeared while the rest was stopped.
            self._wake.set()
            return
        self._report.waiting.clear()
        self._tell(record, terminal=True)
        self._shared.probes.forget(self.uid)
        self._stopped.set()
        self._to(Stage.TERMINATED)

    async def _release(self) -> None:
        parts = self._shared.parts
        await parts.volumes.teardown(self.uid)
        cgroups = self._shared.cgroups
        if cgroups is not None and not cgroups.remove_pod(self.uid):
            # The kernel lets go of a cgroup a moment after its last process, and nobody need wait for it. What else is
            # in there is in no container that the runtime knows.
            cgroups.end_pod(self.uid)
            asyncio.get_running_loop().call_later(1.0, cgroups.remove_pod, self.uid)
        self._to(Stage.FINISHED)

    async def _finish(self) -> None:
        """Nothing runs. A deleted pod's object is let go, and what it left is cleaned; a finished one keeps its
        containers for their logs until it is deleted.
        """
        if podspec.deleting(self.pod) and not self.removed and not self._released:
            self._released = True
            self._shared.statuses.release(self.pod)
        if self._cleaned or not (podspec.deleting(self.pod) or self.removed):
            return
        await clean(self._shared.parts, self.pod)
        self._cleaned = True
        self._wake.set()


def _acted_on(pod: Obj) -> Obj:
    """What a worker acts on: not the status, which it writes itself, nor what each write changes."""
    meta = {k: v for k, v in pod["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    return {"metadata": meta, "spec": podspec.spec(pod)}

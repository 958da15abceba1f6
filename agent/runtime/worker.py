"""One pod's life: a task that looks, plans, applies and reports whenever something changed.

Nothing else touches the pod's containers. A wake-up during a step leads to one more step; a pod that is
to be terminated interrupts whatever waits (a pull, a hook, a volume), never a call to the runtime that is
under way.
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
from agent.cri.errors import CriError, CriUnavailable
from agent.cri.model import PodRecord, State
from agent.podspec import Obj
from agent.probes.registry import Probes
from agent.runtime import pod_paths
from agent.runtime.applier import Applier, Parts, SandboxError
from agent.runtime.cgroups import Cgroups
from agent.runtime.cleaning import clean, collect
from agent.runtime.interrupt import Interrupted, unless
from agent.runtime.lifecycle import Stage, move
from agent.runtime.messages import termination_message
from agent.runtime.network import NamesError
from agent.runtime.planner import plan_pod
from agent.seams import VolumeError
from agent.status.conditions import with_foreign_conditions
from agent.status.containers import ContainerFacts, Waiting
from agent.status.phase import TERMINAL
from agent.status.pod_status import StatusFacts, Verdict, pod_status
from agent.status.writer import StatusSink
from apimachinery.kit.tasks import is_set_within
from apimachinery.timestamps import format_time, now, parse_time

log = logging.getLogger(__name__)

_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SHOW_BACKOFF_SECONDS = 3.0
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
        self.status: Obj = dict(pod.get("status") or {})
        self.removed = removed
        self._admitted = False
        self._verdict: Verdict | None = None
        self._waiting: dict[str, Waiting] = {}
        self._messages: dict[str, str] = {}
        self._retry_at = 0.0
        self._failures = 0
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._stopped = asyncio.Event()
        self._killing: asyncio.Task[None] | None = None
        self._hurried = False
        self._stale = False
        self._wake.set()
        self._cleaned = False
        self._released = False
        self.task: asyncio.Task[None] | None = None

    # --- inputs

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"pod {podspec.full_name(self.pod)}")

    def wake(self) -> None:
        self._wake.set()

    def refresh(self) -> None:
        """An object the pod refers to changed: what its volumes show is brought up to date."""
        self._stale = True
        self._wake.set()

    def update(self, pod: Obj) -> None:
        """A newer specification, or the wish to delete it."""
        before = self.pod["metadata"].get("deletionGracePeriodSeconds")
        self.pod = pod
        self.status = with_foreign_conditions(self.status, pod.get("status") or {})
        if podspec.deleting(pod):
            self._stop.set()
            after = pod["metadata"].get("deletionGracePeriodSeconds")
            shorter = before is not None and after is not None and after < before
            if shorter and self._killing is not None:
                # Asked again with less patience: the stop under way is abandoned for a quicker one.
                self._hurried = True
                self._killing.cancel()
        self._wake.set()

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
        if self._verdict is None and self.stage is Stage.SYNC:
            self._verdict = Verdict(preemption.REASON, preemption.MESSAGE, disruption=preemption.CONDITION_MESSAGE)
            self._shared.parts.reporter.pod(self.pod, "Warning", preemption.REASON, preemption.MESSAGE)
        self._stop.set()
        self._wake.set()
        await self._stopped.wait()

    def remove(self) -> None:
        """Gone from its source."""
        self.removed = True
        self._stop.set()
        self._wake.set()

    # --- the loop

    async def _run(self) -> None:
        while not (self.removed and self.stage is Stage.FINISHED and self._cleaned):
            await self._pause()
            self._wake.clear()
            try:
                await self._step()
                self._failures = 0
            except Interrupted:
                self._wake.set()
            except (CriError, SandboxError, VolumeError, NamesError, OSError) as error:
                self._failed(error)
            except Exception:
                log.exception("pod %s", podspec.full_name(self.pod))
                self._failed(None)
        self._shared.on_end(self.uid)

    def _failed(self, error: Exception | None) -> None:
        delay = _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)]
        self._failures += 1
        self._retry_at = time.time() + delay
        if error is None or isinstance(error, SandboxError):
            return
        level = logging.DEBUG if isinstance(error, CriUnavailable) else logging.WARNING
        log.log(level, "pod %s: %s", podspec.full_name(self.pod), error)

    async def _pause(self) -> None:
        """Until something happened, or something is due."""
        due = self._next_due()
        if due is None:
            await self._wake.wait()
            return
        await is_set_within(self._wake, due - time.time())

    def _next_due(self) -> float | None:
        if self.stage is Stage.FINISHED and self._cleaned and not self._failures:
            return None
        due = time.time() + self._shared.parts.settings.resync_seconds
        if self._retry_at:
            due = min(due, self._retry_at)
        deadline = self._deadline()
        if deadline and self._verdict is None and self.stage is Stage.SYNC:
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
        if self._stop.is_set() or self.removed or podspec.deleting(self.pod) or self._verdict is not None:
            return True
        if self.status.get("phase") in TERMINAL:
            return True
        deadline = self._deadline()
        if deadline and time.time() >= deadline:
            self._verdict = Verdict("DeadlineExceeded", _DEADLINE_MESSAGE)
            self._shared.parts.reporter.pod(self.pod, "Normal", "DeadlineExceeded", _DEADLINE_MESSAGE)
            return True
        return False

    # --- running

    async def _sync(self) -> None:
        shared, parts = self._shared, self._shared.parts
        record = parts.cache.record(self.uid)
        if not await self._admit(record):
            return
        self._observe(record)
        if self._report(record) in TERMINAL:
            self._wake.set()
            return
        if shared.cgroups is not None:
            shared.cgroups.weigh(self.pod)
        actions = plan_pod(self.pod, record, shared.probes.verdicts(record))
        if self._stale:
            # Not before the first start: that prepares them anyhow.
            self._stale = False
            if record.running:
                await self._prepare()
        if actions.idle:
            self._drop_stale_reasons(record)
            await collect(parts, record)
            return
        cgroup = shared.cgroups.ensure_pod(self.pod) if shared.cgroups else ""
        if actions.init or actions.containers or actions.ephemeral:
            await self._prepare()
        outcome = await shared.applier.apply(self.pod, record, actions, cgroup, self._stop)
        self._waiting.update(outcome.waiting)
        for name in outcome.started:
            self._waiting.pop(name, None)
        if outcome.waiting:
            self._retry_at = outcome.retry_at or time.time() + _RETRY_SECONDS[-1]
            if any(why.reason == "ErrImagePull" for why in outcome.waiting.values()):
                # What is shown then goes over to the back-off.
                self._retry_at = min(self._retry_at, time.time() + _SHOW_BACKOFF_SECONDS)
        record = parts.cache.record(self.uid)
        self._observe(record)
        self._report(record)
        if outcome.started or actions.reset:
            # The next container in line must not wait for an event.
            self._wake.set()

    async def _admit(self, record: PodRecord) -> bool:
        if self._admitted or record.containers or record.sandboxes:
            self._admitted = True
            return True
        gate = self._shared.gate
        decision = await gate.reconsider(self.pod, gate.decide(self.pod))
        if (refusal := decision.refusal) is not None:
            self._verdict = Verdict(refusal.reason, f"Pod was rejected: {refusal.message}", started=False)
            self._shared.parts.reporter.pod(self.pod, "Warning", refusal.reason, refusal.message)
            self._report(record)
            self._wake.set()
            return False
        # From here on its room is taken, also while others leave it.
        self._admitted = True
        if decision.victims:
            await unless(self._stop, self._shared.make_room(decision.victims))
        return True

    async def _prepare(self) -> None:
        """Directories and volumes. Raises VolumeError after telling the user."""
        parts = self._shared.parts
        directory = pod_paths.pod_directory(parts.settings.root_dir, self.uid)
        for folder in (directory, directory / "volumes", directory / "plugins", directory / "containers"):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            await unless(self._stop, parts.volumes.prepare(self.pod))
        except VolumeError as error:
            parts.reporter.pod(self.pod, "Warning", "FailedMount", str(error))
            raise

    def _observe(self, record: PodRecord) -> None:
        """Probes follow the containers; messages of ended ones are read once."""
        sandbox = record.ready_sandbox
        ips = sandbox.ips if sandbox else ()
        if podspec.host_network(self.pod) and not ips:
            ips = tuple(self._shared.parts.network.node_ips())
        self._shared.probes.sync(self.pod, record, ips[0] if ips else "", self.status)
        for run in record.containers:
            if run.state is State.EXITED and run.id not in self._messages:
                self._messages[run.id] = termination_message(run)

    def _drop_stale_reasons(self, record: PodRecord) -> None:
        for name in list(self._waiting):
            run = record.newest(name)
            if run is not None and run.running:
                del self._waiting[name]

    def _report(self, record: PodRecord, *, terminal: bool = False) -> str:
        """Compute the status, hand it on if it changed; returns the phase."""
        ready, started = self._shared.probes.readiness(self.pod, record)
        facts = StatusFacts(
            old=self.status,
            now=format_time(now()),
            containers=ContainerFacts(
                waiting=self._waiting,
                ready=ready,
                started=started,
                messages=self._messages,
                terminating=self.stage is not Stage.SYNC,
            ),
            node_ips=tuple(self._shared.parts.network.node_ips()),
            verdict=self._verdict,
            terminal=terminal,
        )
        status = pod_status(self.pod, record, facts)
        if status != self.status:
            self.status = status
            self._shared.statuses.set(self.pod, status)
        return str(status["phase"])

    # --- stopping

    async def _terminate(self) -> None:
        parts = self._shared.parts
        record = parts.cache.record(self.uid)
        self._observe(record)
        self._report(record)
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
        finally:
            self._killing = None
        record = parts.cache.record(self.uid)
        if record.running:
            # Something appeared while the rest was stopped.
            self._wake.set()
            return
        self._observe(record)
        self._waiting.clear()
        self._report(record, terminal=True)
        self._shared.probes.forget(self.uid)
        self._stopped.set()
        self._to(Stage.TERMINATED)

    async def _release(self) -> None:
        parts = self._shared.parts
        await parts.volumes.teardown(self.uid)
        if self._shared.cgroups is not None and not self._shared.cgroups.remove_pod(self.uid):
            # The kernel lets go of a cgroup a moment after its last process; nobody need wait for it.
            asyncio.get_running_loop().call_later(1.0, self._shared.cgroups.remove_pod, self.uid)
        self._to(Stage.FINISHED)

    async def _finish(self) -> None:
        """Nothing runs. A deleted pod's object is let go, and what it left is cleaned; a finished one
        keeps its containers for their logs until it is deleted."""
        if podspec.deleting(self.pod) and not self.removed and not self._released:
            self._released = True
            self._shared.statuses.release(self.pod)
        if self._cleaned or not (podspec.deleting(self.pod) or self.removed):
            return
        await clean(self._shared.parts, self.pod)
        self._shared.applier.forget(self.uid)
        self._cleaned = True
        self._wake.set()

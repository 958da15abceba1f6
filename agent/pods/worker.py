"""One pod's life: a task that takes one step of its stage whenever something changed, and reports.

Nothing else touches the pod's containers. A wake-up during a step leads to one more step, and at once to a report of
what is known by then; a pod that is to be terminated interrupts whatever waits (a pull, a hook, a volume), never a
call to the runtime that is under way.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from agent import podspec
from agent.admission import preemption
from agent.containers.interrupt import Interrupted
from agent.cri.errors import CriError, CriTimeout, CriUnavailable
from agent.failures import DeviceError, VolumeError
from agent.pods import end, sync
from agent.pods.attempts import SYNC_SECONDS, jittered
from agent.pods.life import Life
from agent.pods.lifecycle import Stage
from agent.pods.shared import Neighbours, Shared
from agent.status.pod_status import Verdict
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

STEPS: Mapping[Stage, Callable[[Life], Awaitable[None]]] = MappingProxyType(
    {
        Stage.ADMITTING: sync.admit,
        Stage.SYNC: sync.sync,
        Stage.TERMINATING: end.terminate,
        Stage.TERMINATED: end.release,
        Stage.FINISHED: end.finish,
        Stage.CLEANED: end.rest,
    }
)
# Calls in a row that the runtime broke off before it is believed to answer everything but this one.
_UNSEEN_TRIES = 3
# What happens while a step waits is reported after this long: many small changes are one report.
_REPORT_SECONDS = 0.1


class Turn(enum.Enum):
    """What the worker is at."""

    IDLE = "idle"
    """The next step begins with whatever is seen."""
    STEPPING = "stepping"
    PUT_OFF = "put off"
    """A step failed: the next one begins with a new wish, or when it is due."""


class PodWorker:
    """`removed` pods have left their source: they are stopped, cleaned and forgotten."""

    def __init__(self, shared: Shared, neighbours: Neighbours, pod: Obj, *, removed: bool = False) -> None:
        self.life = Life(shared, neighbours, pod, removed=removed)
        self.uid = self.life.uid
        self.task: asyncio.Task[None] | None = None
        self.turn = Turn.IDLE
        self._unseen = 0
        """Calls in a row of which it is unknown whether they took effect."""
        self._reporting: asyncio.TimerHandle | None = None
        self.life.wake.set()

    @property
    def pod(self) -> Obj:
        return self.life.pod

    @property
    def status(self) -> Obj:
        """The status as it is reported."""
        return self.life.report.status

    # --- inputs

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"pod {podspec.full_name(self.pod)}")

    def wake(self) -> None:
        """Something was seen: a container's end, a probe's verdict."""
        self.life.wake.set()
        if self.turn is not Turn.IDLE and self.life.stage is not Stage.ADMITTING and self._reporting is None:
            # The step that this leads to may be a long way off.
            self._reporting = asyncio.get_running_loop().call_later(_REPORT_SECONDS, self._report_now)

    def objects_changed(self) -> None:
        """An object the pod refers to changed: what failed for want of it is due."""
        self.life.attempts.objects_changed()
        self.life.wished()

    def update(self, pod: Obj) -> None:
        """A newer specification, or the wish to delete it."""
        life, before = self.life, self.life.asked
        life.replace(pod)
        foreign = life.report.status
        life.report.reported(pod.get("status") or {})
        if podspec.deleting(pod):
            life.stop.set()
            if _less_patient(before, pod):
                end.hurry(life)
        if _acted_on(before) != _acted_on(pod) or foreign != life.report.status:
            life.wished()

    async def preempt(self) -> None:
        """End the pod for a critical one; returns when nothing of it runs."""
        self.evict(Verdict(preemption.REASON, preemption.MESSAGE, disruption=preemption.CONDITION_MESSAGE))
        await self.life.stopped.wait()

    def evict(self, why: Verdict) -> None:
        """End the pod for good, where nothing has decided so before."""
        life = self.life
        if life.report.verdict is None and life.stage in (Stage.ADMITTING, Stage.SYNC):
            life.report.verdict = why
            life.shared.reporter.pod(life.pod, "Warning", why.reason, why.message)
        life.stop.set()
        life.wished()

    def remove(self) -> None:
        """Gone from its source."""
        self.life.removed = True
        self.life.stop.set()
        self.life.wished()

    # --- the loop

    async def _run(self) -> None:
        life = self.life
        while not (life.removed and life.stage is Stage.CLEANED):
            await self._pause()
            life.wake.clear()
            life.wish.clear()
            self.turn = Turn.STEPPING
            self.turn = await self._step()
        if self._reporting is not None:
            self._reporting.cancel()
        life.neighbours.ended(self.uid)

    async def _step(self) -> Turn:
        life = self.life
        try:
            if self._unseen:
                await life.shared.cache.seen_anew()
            life.due = 0.0
            await STEPS[life.stage](life)
            self._unseen = 0
        except Interrupted:
            life.wake.set()
        except (CriUnavailable, CriTimeout) as error:
            return self._lost(error)
        except (CriError, DeviceError, VolumeError, OSError) as error:
            return self._put_off(error)
        except Exception as error:
            log.exception("pod %s", podspec.full_name(life.pod))
            return self._put_off(error)
        return Turn.IDLE

    def _lost(self, error: CriError) -> Turn:
        """Whether the call took effect is unknown: nothing is done before the runtime was looked at again."""
        log.debug("pod %s: %s", podspec.full_name(self.pod), error.detail)
        self._unseen += 1
        self.life.wake.set()
        # Too often: it answers, but not to this.
        return self._put_off(error) if self._unseen > _UNSEEN_TRIES else Turn.IDLE

    def _put_off(self, error: Exception) -> Turn:
        log.warning("pod %s: %s", podspec.full_name(self.pod), error)
        self.life.due = time.time() + jittered(SYNC_SECONDS)
        return Turn.PUT_OFF

    async def _pause(self) -> None:
        """Until something happened, or something is due; after a failure only until a new wish or its time."""
        due = self._next_due()
        event = self.life.wish if self.turn is Turn.PUT_OFF else self.life.wake
        if due is None:
            await event.wait()
            return
        await is_set_within(event, due - time.time())

    def _next_due(self) -> float | None:
        life = self.life
        if life.stage is Stage.CLEANED and self.turn is not Turn.PUT_OFF:
            return None
        due = time.time() + life.shared.settings.resync_seconds
        if life.due:
            due = min(due, life.due)
        if life.deadline and life.report.verdict is None and life.stage is Stage.SYNC:
            due = min(due, life.deadline)
        return due

    def _report_now(self) -> None:
        """Something was seen while a step waits."""
        self._reporting = None
        if self.life.stage in (Stage.ADMITTING, Stage.SYNC, Stage.TERMINATING):
            try:
                self.life.tell(self.life.record)
            except Exception:
                log.exception("pod %s: report", podspec.full_name(self.pod))


def _less_patient(before: Obj, now: Obj) -> bool:
    old, new = (pod["metadata"].get("deletionGracePeriodSeconds") for pod in (before, now))
    return old is not None and new is not None and new < old


def _acted_on(pod: Obj) -> Obj:
    """What a worker acts on: not the status, which it writes itself, nor what each write changes."""
    meta = {k: v for k, v in pod["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    return {"metadata": meta, "spec": podspec.spec(pod)}

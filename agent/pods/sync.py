"""The stages of a pod that is to run: admission, then one step after the other towards what it asks for."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from agent import podspec
from agent.admission.model import Refusal
from agent.containers.cleaning import logged_attempts
from agent.containers.interrupt import unless
from agent.cri.errors import CriError, CriUnavailable
from agent.cri.model import PodRecord, State
from agent.failures import DeviceError, SandboxError, StartError, Unsettled, VolumeError
from agent.host import paths
from agent.pods import resizing
from agent.pods.actions import COLLECTION, SANDBOX, Pace, PodActions, Seen
from agent.pods.life import Life
from agent.pods.lifecycle import Stage
from agent.pods.plan import plan_pod
from agent.status.containers import Waiting
from agent.status.pod_status import Verdict

log = logging.getLogger(__name__)

_DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


async def admit(life: Life) -> None:
    """Whether the pod may run here; what the runtime already has of it was admitted by an agent before this one."""
    record = life.record
    if _must_end(life):
        life.to(Stage.TERMINATING)
        return
    if record.containers or record.sandboxes:
        life.to(Stage.SYNC)
        return
    gate, others = life.shared.gate, life.neighbours.holding
    decision = await gate.reconsider(life.pod, gate.decide(life.pod, others), others)
    if (refusal := decision.refusal) is not None:
        _reject(life, refusal)
        return
    # From here on its room is taken, also while others leave it. What goes wrong on the way has it decided anew.
    life.has_room = True
    try:
        await unless(life.stop, life.shared.plugins.allocate(life.pod))
    except DeviceError as error:
        _reject(life, Refusal("UnexpectedAdmissionError", f"Allocate failed due to {error}, which is unexpected"))
        return
    if decision.victims:
        await unless(life.stop, life.neighbours.make_room(decision.victims))
    life.to(Stage.SYNC)


def _reject(life: Life, refusal: Refusal) -> None:
    life.report.verdict = Verdict(refusal.reason, f"Pod was rejected: {refusal.message}", started=False)
    life.shared.reporter.pod(life.pod, "Warning", refusal.reason, refusal.message)
    life.publish(life.record)
    life.wake.set()


async def sync(life: Life) -> None:
    """One look, one plan, one walk."""
    if _must_end(life):
        life.to(Stage.TERMINATING)
        return
    resizing.consider(life)
    record = life.record
    life.report.observe(life.pod, record)
    pace = life.attempts.pace(life.pod, record, time.time())
    actions = plan_pod(life.wanted, _seen(life, record), pace)
    _hold_back(life, actions)
    if life.pod is not life.asked:
        life.due_within(resizing.AGAIN_SECONDS)
    life.report.started(record)
    life.publish(record)
    if life.report.over:
        life.wake.set()
        return
    if life.shared.cgroups is not None:
        life.shared.cgroups.weigh(life.pod)
    if life.resizing and time.time() >= life.resize_due:
        await resizing.actuate(life, actions)
    if actions.idle:
        await _collect(life, record, pace)
    else:
        await _act(life, record, actions)
    if life.resizing and time.time() >= life.resize_due:
        resizing.settle(life)


def _must_end(life: Life) -> bool:
    if life.doomed or life.report.over or life.report.verdict is not None:
        return True
    if life.deadline and time.time() >= life.deadline:
        life.report.verdict = Verdict("DeadlineExceeded", _DEADLINE_MESSAGE)
        life.shared.reporter.pod(life.pod, "Normal", "DeadlineExceeded", _DEADLINE_MESSAGE)
        return True
    return False


def _seen(life: Life, record: PodRecord) -> Seen:
    logs, ran = paths.log_directory(life.shared.settings.pod_log_dir, life.pod), record.ever_run()
    never = [c["name"] for c in podspec.all_containers(life.pod) if ran.newest(c["name"]) is None]
    # The log of a container that never ran goes with it.
    but = frozenset(Path(run.log_path) for run in record.containers if run.stillborn)
    return Seen(record, life.shared.probes.verdicts(record), logged_attempts(logs, never, but))


def _hold_back(life: Life, actions: PodActions) -> None:
    """What must wait says why, and the user hears of each back-off once."""
    life.due = actions.due
    for name, hold in actions.held.items():
        container = podspec.find_container(life.pod, name)
        if container is None or not hold.reason:
            continue
        life.report.waiting[name] = Waiting(hold.reason, hold.message)
        kind, reason, text = hold.event
        if text and life.attempts.news(name, hold.reason, hold.until):
            life.shared.reporter.container(life.pod, container, kind, reason, text)


async def _collect(life: Life, record: PodRecord, pace: Pace) -> None:
    """Old runs go; one that will not must not keep its successors from being started."""
    if pace.held(COLLECTION):
        return
    try:
        await life.shared.cleaner.collect(record)
    except CriUnavailable:
        raise
    except (CriError, OSError) as error:
        log.warning("pod %s: cannot collect old runs: %s", podspec.full_name(life.pod), error)
        life.attempts.collection_failed(life.pod, time.time())


async def _act(life: Life, record: PodRecord, actions: PodActions) -> None:
    cgroup = _ensure_cgroup(life)
    if actions.starts and not await _prepare(life, for_sandbox=actions.create_sandbox):
        life.wake.set()
        return
    try:
        await life.shared.applier.apply(life.pod, record, actions, cgroup, life.stop, _Progress(life))
    except SandboxError as error:
        life.attempts.sandbox_failed(life.pod, error, time.time())
        life.wake.set()
        return
    except Unsettled as error:
        log.info("container %s of pod %s: %s", error.name, podspec.full_name(life.pod), error)
        life.attempts.unsettled(life.pod, error.name, time.time())
        life.wake.set()
        return
    life.attempts.succeeded(SANDBOX)
    life.tell(life.record)
    # The next container in line must not wait for an event; and what failed has its date now.
    life.wake.set()


class _Progress:
    """What became of each start, noted and told at once: the next may take minutes."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def begins(self, name: str) -> None:
        life = self._life
        life.attempts.begins(podspec.find_container(life.pod, name) or {"name": name}, life.record, time.time())

    def started(self, name: str) -> None:
        self._life.attempts.succeeded(name)
        self._life.report.waiting.pop(name, None)

    def failed(self, name: str, error: StartError) -> None:
        life, now = self._life, time.time()
        run = life.record.newest(name)
        ended = run is not None and run.state is State.EXITED
        if not life.attempts.start_failed(life.pod, name, error, now, ended=ended):
            return
        life.report.waiting[name] = Waiting(error.reason, error.message)
        container = podspec.find_container(life.pod, name)
        for kind, reason, text in life.attempts.events(name, error, now):
            if container is not None:
                life.shared.reporter.container(life.pod, container, kind, reason, text)


def _ensure_cgroup(life: Life) -> str:
    """The pod's cgroup, as the runtime is told it. Raises OSError after telling the user."""
    cgroups = life.shared.cgroups
    if cgroups is None:
        return ""
    try:
        # While a resize is under way containers may hold what the pod is no longer to have.
        return cgroups.widen_pod(life.pod) if life.resizing else cgroups.ensure_pod(life.pod)
    except OSError as error:
        text = f"unable to ensure pod container exists: {error.strerror or error}"
        life.shared.reporter.pod(life.pod, "Warning", "FailedCreatePodContainer", text)
        raise


async def _prepare(life: Life, *, for_sandbox: bool) -> bool:
    """Directories, volumes and, before there is a sandbox, devices; False after putting off what failed and telling
    the user.
    """
    directory = paths.pod_directory(life.shared.settings.root_dir, life.uid)
    for folder in (directory, directory / "volumes", directory / "plugins", directory / "containers"):
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        await unless(life.stop, life.shared.volumes.prepare(life.pod))
    except VolumeError as error:
        if life.attempts.volumes_failed(life.pod, time.time(), settling=error.settling, awaited=error.awaited):
            life.shared.reporter.pod(life.pod, "Warning", "FailedMount", str(error))
        return False
    try:
        if for_sandbox:
            # The object's status, as a newer version of the pod shows it, says which claims were made for it.
            await unless(life.stop, life.shared.devices.prepare(life.asked))
    except DeviceError as error:
        if life.attempts.volumes_failed(life.pod, time.time(), settling=error.settling, awaited=error.awaited):
            text = f"Failed to prepare dynamic resources: prepare dynamic resources: {error}"
            life.shared.reporter.pod(life.pod, "Warning", "FailedPrepareDynamicResources", text)
        return False
    life.attempts.volumes_ready()
    return True

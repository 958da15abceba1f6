"""What a pod wants and what the runtime holds → what to do next. Pure: no clock, no runtime, no log.

The rules are upstream's: a sandbox is replaced when it is not ready, doubled or lost its address; init
containers run one after the other, sidecars stay; a container is started when it should run and does not;
when nothing is left to run or to start, the pod is stopped. What failed or ended lately waits: the pace says
until when.
"""

from __future__ import annotations

from dataclasses import replace

from agent import restarts
from agent.cri.model import Container, PodRecord, Sandbox, State
from agent.pods.actions import SANDBOX, VOLUMES, Hold, Kill, Pace, PodActions, Reset, Seen
from agent.pods.extract import WantedContainer, WantedPod
from agent.pods.plan_init import init_actions, why_kill
from agent.probes.verdicts import ProbeVerdicts


def plan_pod(pod: WantedPod, seen: Seen, pace: Pace | None = None) -> PodActions:
    """The next actions for a pod that is to run (never for one being terminated). `pace`: what must wait; nothing
    where it is None."""
    record = seen.record.ever_run()
    actions = _whole_plan(pod, record, seen.verdicts)
    left = (c for c in seen.record.containers if c.stillborn)
    if discards := tuple(c.id for c in left if pace is None or not pace.held(c.name)):
        actions = replace(actions, discards=discards)
    actions = replace(actions, updates=_updates(pod, record, actions))
    if pace is not None:
        actions = _paced(pod, actions, pace)
    return replace(actions, attempts={name: _attempt(name, record, seen) for name in actions.starts})


def _whole_plan(pod: WantedPod, record: PodRecord, verdicts: ProbeVerdicts) -> PodActions:
    if restarts.all_restart(pod.ruled, record):
        runs = restarts.reset_order(pod.ruled, record)
        return PodActions(reset=tuple(Reset(run.id, run.state is not State.EXITED) for run in runs))
    sandbox, attempt, why = _usable_sandbox(pod, record)
    if sandbox is None:
        return _with_new_sandbox(pod, record, attempt, why)
    actions = PodActions(sandbox_id=sandbox.id, attempt=sandbox.attempt)
    actions = replace(actions, ephemeral=_ephemeral_starts(pod, record))
    # A new sandbox starts over with the init containers, whatever ran in the one before.
    actions, initialized = init_actions(pod, record.within(sandbox.id), verdicts, actions)
    if actions.kill_pod or not initialized:
        return actions
    return _main_actions(pod, record, verdicts, actions)


def _updates(pod: WantedPod, record: PodRecord, actions: PodActions) -> tuple[str, ...]:
    """Containers that are to be held to something else and stay."""
    if actions.kill_pod or actions.reset:
        return ()
    going = {kill.container_id for kill in actions.kills}
    found = []
    for container in pod.resizable:
        run = record.newest(container.name)
        if run is not None and run.id not in going and container.resize is not None and container.resize.changes(run):
            found.append(container.name)
    return tuple(found)


def _attempt(name: str, record: PodRecord, seen: Seen) -> int:
    last = record.newest(name)
    return last.attempt + 1 if last is not None else seen.logged.get(name, 0)


# --- pace


def _paced(pod: WantedPod, actions: PodActions, pace: Pace) -> PodActions:
    """The actions without what is not due yet."""
    if actions.create_sandbox and (hold := pace.held(SANDBOX)):
        # The old one was stopped at the first attempt.
        return PodActions(attempt=actions.attempt, discards=actions.discards, held={SANDBOX: hold})
    if (actions.create_sandbox or actions.starts) and (hold := pace.held(VOLUMES)):
        without = PodActions(attempt=actions.attempt, discards=actions.discards, held={VOLUMES: hold})
        return without if actions.create_sandbox else replace(without, kills=actions.kills)
    held = {name: hold for name in (*actions.ephemeral, *actions.containers) if (hold := pace.held(name))}
    init, waiting = _paced_inits(pod, actions.init, pace)
    return replace(
        actions,
        ephemeral=tuple(name for name in actions.ephemeral if name not in held),
        containers=tuple(name for name in actions.containers if name not in held),
        init=init,
        held=held | waiting,
        no_pulls={image: hold for image, hold in pace.pulls.items() if pace.now < hold.until},
    )


def _paced_inits(pod: WantedPod, names: tuple[str, ...], pace: Pace) -> tuple[tuple[str, ...], dict[str, Hold]]:
    """(init containers to start now, those that wait): nothing goes past an ordinary one that waits."""
    due: list[str] = []
    held: dict[str, Hold] = {}
    for name in names:
        hold = pace.held(name)
        if hold is None:
            due.append(name)
            continue
        held[name] = hold
        if not pod.init_named(name).sidecar:
            break
    return tuple(due), held


# --- sandbox


def _usable_sandbox(pod: WantedPod, record: PodRecord) -> tuple[Sandbox | None, int, str]:
    """(the sandbox to use or None, the attempt of the one to create, why the old one will not do)."""
    if not record.sandboxes:
        return None, 0, ""
    newest = record.sandboxes[0]
    following = newest.attempt + 1
    if sum(s.ready for s in record.sandboxes) > 1:
        return None, following, "more than one sandbox is ready"
    if not newest.ready:
        return None, following, "the sandbox is not ready"
    if newest.host_network != pod.host_network:
        return None, following, "the network namespace changed"
    if newest.network_lost:
        return None, following, newest.network_lost
    if not newest.host_network and not newest.ips:
        return None, following, "the sandbox has no address"
    return newest, newest.attempt, ""


def _with_new_sandbox(pod: WantedPod, record: PodRecord, attempt: int, why: str) -> PodActions:
    base = PodActions(kill_pod=True, attempt=attempt, sandbox_changed=why)
    if pod.policy == "Never" and attempt and record.containers:
        return base
    starts = tuple(c.name for c in pod.containers if not _done_for_good(c, record))
    if not starts:
        return base
    if pod.init:
        return replace(base, create_sandbox=True, init=(pod.init[0].name,))
    return replace(base, create_sandbox=True, containers=starts)


def _done_for_good(container: WantedContainer, record: PodRecord) -> bool:
    """Succeeded under OnFailure: a new sandbox must not run it again."""
    last = record.newest(container.name)
    if last is None or last.state is not State.EXITED or last.exit_code != 0:
        return False
    return container.policy.name == "OnFailure"


# --- containers


def should_restart(pod: WantedPod, container: WantedContainer, last: Container | None) -> bool:
    """Whether a container that is not running must be started (back-off apart)."""
    if pod.deleting:
        return False
    if last is None or last.state is State.UNKNOWN:
        return True
    if last.state is State.RUNNING:
        return False
    return container.policy.restarts(last.exit_code)


def _ephemeral_starts(pod: WantedPod, record: PodRecord) -> tuple[str, ...]:
    return tuple(c.name for c in pod.ephemeral if record.newest(c.name) is None)


def _main_actions(pod: WantedPod, record: PodRecord, verdicts: ProbeVerdicts, actions: PodActions) -> PodActions:
    starts: list[str] = []
    kills: list[Kill] = list(actions.kills)
    kept = 0
    for container in pod.containers:
        name, last = container.name, record.newest(container.name)
        if last is None or not last.running:
            if should_restart(pod, container, last):
                starts.append(name)
                if last is not None and last.state is State.UNKNOWN:
                    text = f"Container is in {State.UNKNOWN.value!r} state, try killing it before restart"
                    kills.append(Kill(last.id, name, text))
            continue
        message, probe = why_kill(container, last, verdicts, "Container")
        if not message:
            kept += 1
            continue
        if probe == "" or container.policy.name != "Never":
            message += ", will be restarted"
            starts.append(name)
        kills.append(Kill(last.id, name, message, probe))
    if not kept and not starts:
        # Sidecars end with the pod.
        return replace(actions, kill_pod=True, init=(), kills=())
    return replace(actions, containers=tuple(starts), kills=tuple(kills))

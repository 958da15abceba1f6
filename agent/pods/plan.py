"""Pod specification and what the runtime holds → what to do next. Pure: no clock, no runtime, no log.

The rules are upstream's: a sandbox is replaced when it is not ready, doubled or lost its address; init
containers run one after the other, sidecars stay; a container is started when it should run and does not;
when nothing is left to run or to start, the pod is stopped. What failed or ended lately waits: the pace says
until when.
"""

from __future__ import annotations

from dataclasses import replace

from agent import podspec, restarts
from agent.containers.config import container_hash
from agent.cri.model import Container, PodRecord, Sandbox, State
from agent.pods.actions import SANDBOX, VOLUMES, Hold, Kill, Pace, PodActions, Reset
from agent.probes.verdicts import ProbeVerdicts
from apimachinery.objects import Obj


def plan_pod(pod: Obj, record: PodRecord, verdicts: ProbeVerdicts, pace: Pace | None = None) -> PodActions:
    """The next actions for a pod that is to run (never for one being terminated). ``pace``: what must wait; nothing
    where it is None."""
    actions = _whole_plan(pod, record.ever_run(), verdicts)
    if left := tuple(c.id for c in record.containers if c.stillborn):
        actions = replace(actions, discards=left)
    return _paced(pod, actions, pace) if pace is not None else actions


def _whole_plan(pod: Obj, record: PodRecord, verdicts: ProbeVerdicts) -> PodActions:
    if restarts.all_restart(pod, record):
        runs = restarts.reset_order(pod, record)
        return PodActions(reset=tuple(Reset(run.id, run.state is not State.EXITED) for run in runs))
    sandbox, attempt, why = _usable_sandbox(pod, record)
    if sandbox is None:
        return _with_new_sandbox(pod, record, attempt, why)
    actions = PodActions(sandbox_id=sandbox.id, attempt=sandbox.attempt)
    actions = replace(actions, ephemeral=_ephemeral_starts(pod, record))
    # A new sandbox starts over with the init containers, whatever ran in the one before.
    actions, initialized = _init_actions(pod, record.within(sandbox.id), verdicts, actions)
    if actions.kill_pod or not initialized:
        return actions
    return _main_actions(pod, record, verdicts, actions)


# --- pace


def _paced(pod: Obj, actions: PodActions, pace: Pace) -> PodActions:
    """The actions without what is not due yet."""
    if actions.create_sandbox and (hold := pace.held(SANDBOX)):
        # The old one was stopped at the first attempt.
        return PodActions(attempt=actions.attempt, discards=actions.discards, held={SANDBOX: hold})
    starts = actions.init or actions.ephemeral or actions.containers
    if (actions.create_sandbox or starts) and (hold := pace.held(VOLUMES)):
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
    )


def _paced_inits(pod: Obj, names: tuple[str, ...], pace: Pace) -> tuple[tuple[str, ...], dict[str, Hold]]:
    """(init containers to start now, those that wait): nothing goes past an ordinary one that waits."""
    due: list[str] = []
    held: dict[str, Hold] = {}
    for name in names:
        hold = pace.held(name)
        if hold is None:
            due.append(name)
            continue
        held[name] = hold
        if not podspec.is_sidecar(podspec.find_container(pod, name) or {}):
            break
    return tuple(due), held


# --- sandbox


def _usable_sandbox(pod: Obj, record: PodRecord) -> tuple[Sandbox | None, int, str]:
    """(the sandbox to use or None, the attempt of the one to create, why the old one will not do)."""
    if not record.sandboxes:
        return None, 0, ""
    newest = record.sandboxes[0]
    following = newest.attempt + 1
    if sum(s.ready for s in record.sandboxes) > 1:
        return None, following, "more than one sandbox is ready"
    if not newest.ready:
        return None, following, "the sandbox is not ready"
    if newest.host_network != podspec.host_network(pod):
        return None, following, "the network namespace changed"
    if newest.network_lost:
        return None, following, newest.network_lost
    if not newest.host_network and not newest.ips:
        return None, following, "the sandbox has no address"
    return newest, newest.attempt, ""


def _with_new_sandbox(pod: Obj, record: PodRecord, attempt: int, why: str) -> PodActions:
    base = PodActions(kill_pod=True, attempt=attempt, sandbox_changed=why)
    if podspec.restart_policy(pod) == "Never" and attempt and record.containers:
        return base
    starts = tuple(c["name"] for c in podspec.containers(pod) if not _done_for_good(pod, c, record))
    if not starts:
        return base
    inits = podspec.init_containers(pod)
    if inits:
        return replace(base, create_sandbox=True, init=(inits[0]["name"],))
    return replace(base, create_sandbox=True, containers=starts)


def _done_for_good(pod: Obj, container: Obj, record: PodRecord) -> bool:
    """Succeeded under OnFailure: a new sandbox must not run it again."""
    last = record.newest(container["name"])
    if last is None or last.state is not State.EXITED or last.exit_code != 0:
        return False
    return podspec.restart_policy(pod, container) == "OnFailure"


# --- containers


def should_restart(pod: Obj, container: Obj, last: Container | None) -> bool:
    """Whether a container that is not running must be started (back-off apart)."""
    if podspec.deleting(pod):
        return False
    if last is None or last.state is State.UNKNOWN:
        return True
    if last.state is State.RUNNING:
        return False
    return restarts.restarts(pod, container, last.exit_code)


def _ephemeral_starts(pod: Obj, record: PodRecord) -> tuple[str, ...]:
    return tuple(c["name"] for c in podspec.ephemeral_containers(pod) if record.newest(c["name"]) is None)


def _why_kill(container: Obj, running: Container, verdicts: ProbeVerdicts, noun: str) -> tuple[str, str]:
    """(message, probe) for a running container that must go; ("", "") when it may stay."""
    name = container["name"]
    if running.hash and running.hash != container_hash(container):
        return f"{noun} {name} definition changed", ""
    if running.id in verdicts.liveness_failed:
        return f"{noun} {name} failed liveness probe", "livenessProbe"
    if running.id in verdicts.startup_failed:
        return f"{noun} {name} failed startup probe", "startupProbe"
    return "", ""


def _main_actions(pod: Obj, record: PodRecord, verdicts: ProbeVerdicts, actions: PodActions) -> PodActions:
    starts: list[str] = []
    kills: list[Kill] = list(actions.kills)
    kept = 0
    for container in podspec.containers(pod):
        name, last = container["name"], record.newest(container["name"])
        if last is None or not last.running:
            if should_restart(pod, container, last):
                starts.append(name)
                if last is not None and last.state is State.UNKNOWN:
                    text = f"Container is in {State.UNKNOWN.value!r} state, try killing it before restart"
                    kills.append(Kill(last.id, name, text))
            continue
        message, probe = _why_kill(container, last, verdicts, "Container")
        if not message:
            kept += 1
            continue
        if probe == "" or podspec.restart_policy(pod, container) != "Never":
            message += ", will be restarted"
            starts.append(name)
        kills.append(Kill(last.id, name, message, probe))
    if not kept and not starts:
        # Sidecars end with the pod.
        return replace(actions, kill_pod=True, init=(), kills=())
    return replace(actions, containers=tuple(starts), kills=tuple(kills))


# --- init containers


def _has_initialized(pod: Obj, record: PodRecord) -> bool:
    """A regular container that ever came up proves that init containers are through; their own records may have been
    removed since.
    """
    return any(record.newest(c["name"]) is not None for c in podspec.containers(pod))


def _init_actions(pod: Obj, record: PodRecord, verdicts: ProbeVerdicts, actions: PodActions) -> tuple[PodActions, bool]:
    """Actions for init containers and whether the main containers may run.

    Walks backwards to the furthest init container that has a record; what lies before it is done, except
    sidecars, which are kept up."""
    inits = podspec.init_containers(pod)
    if not inits:
        return actions, True
    initialized = _has_initialized(pod, record)
    located = initialized
    starts: list[str] = []
    kills: list[Kill] = []
    for index in range(len(inits) - 1, -1, -1):
        container = inits[index]
        last = record.newest(container["name"])
        sidecar = podspec.is_sidecar(container)
        if located:
            if sidecar:
                start, kill, _ = _sidecar_step(container, last, verdicts)
                starts += [container["name"]] * start
                kills += [kill] if kill else []
            continue
        if last is None:
            continue
        located = True
        step = _sidecar_step(container, last, verdicts) if sidecar else _init_step(pod, container, last)
        if step is None:
            return replace(actions, kill_pod=True, init=(), kills=()), False
        start, kill, passed = step
        kills += [kill] if kill else []
        if passed:
            if index == len(inits) - 1:
                initialized = True
            else:
                starts.append(inits[index + 1]["name"])
        if start:
            starts.append(container["name"])
    if not located:
        starts = [inits[0]["name"]]
    ordered = tuple(c["name"] for c in inits if c["name"] in starts)
    return replace(actions, init=ordered, kills=tuple(kills)), initialized


def _init_step(pod: Obj, container: Obj, last: Container) -> tuple[bool, Kill | None, bool] | None:
    """(start again, kill, through) of an ordinary init container; None ends the pod."""
    name = container["name"]
    if last.state is State.RUNNING:
        return False, None, False
    if last.state is State.EXITED and last.exit_code == 0:
        return False, None, True
    # Without an exit code there is nothing a rule could cover.
    unknown = last.state is State.UNKNOWN
    again = podspec.restart_policy(pod, container) != "Never"
    if not (again if unknown else restarts.restarts(pod, container, last.exit_code)):
        return None
    if unknown:
        text = f"Init container is in {State.UNKNOWN.value!r} state, try killing it before restart"
        return True, Kill(last.id, name, text), False
    return True, None, False


def _sidecar_step(container: Obj, last: Container | None, verdicts: ProbeVerdicts) -> tuple[bool, Kill | None, bool]:
    """(start, kill, started far enough for the next one) of a restartable init container."""
    name = container["name"]
    if last is None or last.state is State.EXITED:
        return True, None, False
    if last.state is State.UNKNOWN:
        text = f"Init container is in {State.UNKNOWN.value!r} state, try killing it before restart"
        return True, Kill(last.id, name, text), False
    message, probe = _why_kill(container, last, verdicts, "Init container")
    if message:
        return True, Kill(last.id, name, message, probe), False
    passed = not container.get("startupProbe") or last.id in verdicts.startup_passed
    return False, None, passed

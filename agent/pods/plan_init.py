"""What to do next about a pod's init containers. Pure."""

from __future__ import annotations

from dataclasses import replace

from agent.cri.model import Container, PodRecord, State
from agent.pods.actions import Kill, PodActions
from agent.pods.extract import WantedContainer, WantedPod
from agent.probes.verdicts import ProbeVerdicts


def init_actions(
    pod: WantedPod, record: PodRecord, verdicts: ProbeVerdicts, actions: PodActions
) -> tuple[PodActions, bool]:
    """Actions for init containers and whether the main containers may run.

    Walks backwards to the furthest init container that has a record; what lies before it is done, except
    sidecars, which are kept up."""
    if not pod.init:
        return actions, True
    initialized = _has_initialized(pod, record)
    located = initialized
    starts: list[str] = []
    kills: list[Kill] = []
    for index in range(len(pod.init) - 1, -1, -1):
        container = pod.init[index]
        last = record.newest(container.name)
        if located:
            if container.sidecar:
                start, kill, _ = _sidecar_step(container, last, verdicts)
                starts += [container.name] * start
                kills += [kill] if kill else []
            continue
        if last is None:
            continue
        located = True
        step = _sidecar_step(container, last, verdicts) if container.sidecar else _init_step(container, last)
        if step is None:
            return replace(actions, kill_pod=True, init=(), kills=()), False
        start, kill, passed = step
        kills += [kill] if kill else []
        if passed:
            if index == len(pod.init) - 1:
                initialized = True
            else:
                starts.append(pod.init[index + 1].name)
        if start:
            starts.append(container.name)
    if not located:
        starts = [pod.init[0].name]
    ordered = tuple(c.name for c in pod.init if c.name in starts)
    return replace(actions, init=ordered, kills=tuple(kills)), initialized


def why_kill(container: WantedContainer, running: Container, verdicts: ProbeVerdicts, noun: str) -> tuple[str, str]:
    """(message, probe) for a running container that must go; ("", "") when it may stay."""
    name = container.name
    if running.hash and running.hash != container.hash:
        return f"{noun} {name} definition changed", ""
    if container.resize is not None and container.resize.restarts(running):
        return f"{noun} {name} resize requires restart", ""
    if running.id in verdicts.liveness_failed:
        return f"{noun} {name} failed liveness probe", "livenessProbe"
    if running.id in verdicts.startup_failed:
        return f"{noun} {name} failed startup probe", "startupProbe"
    return "", ""


def _has_initialized(pod: WantedPod, record: PodRecord) -> bool:
    """A regular container that ever came up proves that init containers are through; their own records may have been
    removed since.
    """
    return any(record.newest(c.name) is not None for c in pod.containers)


def _init_step(container: WantedContainer, last: Container) -> tuple[bool, Kill | None, bool] | None:
    """(start again, kill, through) of an ordinary init container; None ends the pod."""
    if last.state is State.RUNNING:
        return False, None, False
    if last.state is State.EXITED and last.exit_code == 0:
        return False, None, True
    # Without an exit code there is nothing a rule could cover.
    unknown = last.state is State.UNKNOWN
    if not (container.policy.name != "Never" if unknown else container.policy.restarts(last.exit_code)):
        return None
    if unknown:
        text = f"Init container is in {State.UNKNOWN.value!r} state, try killing it before restart"
        return True, Kill(last.id, container.name, text), False
    return True, None, False


def _sidecar_step(
    container: WantedContainer, last: Container | None, verdicts: ProbeVerdicts
) -> tuple[bool, Kill | None, bool]:
    """(start, kill, started far enough for the next one) of a restartable init container."""
    if last is None or last.state is State.EXITED:
        return True, None, False
    if last.state is State.UNKNOWN:
        text = f"Init container is in {State.UNKNOWN.value!r} state, try killing it before restart"
        return True, Kill(last.id, container.name, text), False
    message, probe = why_kill(container, last, verdicts, "Init container")
    if message:
        return True, Kill(last.id, container.name, message, probe), False
    passed = not container.awaits_startup or last.id in verdicts.startup_passed
    return False, None, passed

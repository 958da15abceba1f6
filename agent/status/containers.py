"""Container statuses. Pure.

A container shows its newest run; the run before it is the last state. One that should start but cannot shows why it
waits. Source:
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-states .
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from agent import podspec, restarts
from agent.cri.model import Container, PodRecord, State
from agent.status.resources import container_resources
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time

SCHEME = "containerd"


@dataclass(frozen=True)
class Waiting:
    reason: str
    message: str = ""


@dataclass(frozen=True)
class Observations:
    """What was seen of a pod's containers beyond the runtime's record. `waiting`: why a container, by name, could not
    be started last time. `ready`/`started`: ids of running containers whose probes say so (or that have none).
    """

    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    ready: frozenset[str] = frozenset()
    started: frozenset[str] = frozenset()
    messages: Mapping[str, str] = field(default_factory=dict)
    """Termination messages by container id."""
    terminating: bool = False
    """Nothing is started any more."""
    restarting: bool = False
    """All containers are being taken away to start anew (restarts)."""
    devices: Mapping[str, list[Obj]] = field(default_factory=dict)
    """allocatedResourcesStatus of the containers that have devices now."""
    runtime: str = SCHEME


def _time(nanos: int) -> str | None:
    if nanos <= 0:
        return None
    return format_time(datetime.fromtimestamp(nanos / 1e9, tz=timezone.utc))


def _terminated(run: Container, seen: Observations) -> Obj:
    reason = run.reason
    if not reason:
        reason = "Completed" if run.exit_code == 0 else "Error"
    state: Obj = {
        "exitCode": run.exit_code,
        "reason": reason,
        "startedAt": _time(run.started_at or run.created_at),
        "finishedAt": _time(run.finished_at),
        "containerID": f"{seen.runtime}://{run.id}",
    }
    message = seen.messages.get(run.id) or run.message
    if message:
        state["message"] = message
    return state


def _state(run: Container, seen: Observations, waiting: str) -> Obj:
    if run.state is State.RUNNING:
        return {"running": {"startedAt": _time(run.started_at)}}
    if run.state is State.EXITED:
        return {"terminated": _terminated(run, seen)}
    return {"waiting": {"reason": waiting}}


def _mount(mount: Obj, run: Container) -> Obj:
    """A volume mount as it came out: recursive read-only needs a runtime that offers it."""
    shown = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        recursive = mount["mountPath"] in run.recursive_mounts
        shown |= {"readOnly": True, "recursiveReadOnly": "Enabled" if recursive else "Disabled"}
    return shown


def _from_runs(container: Obj, runs: list[Container], seen: Observations, waiting: str) -> Obj:
    newest = runs[0]
    resources, allocated = container_resources(container, newest)
    status: Obj = {
        "name": container["name"],
        "state": _state(newest, seen, waiting),
        "lastState": {},
        "ready": newest.id in seen.ready,
        "started": newest.id in seen.started,
        "restartCount": newest.attempt,
        "image": newest.image,
        "imageID": newest.image_ref,
        "containerID": f"{seen.runtime}://{newest.id}",
        "resources": resources,
    }
    if mounts := container.get("volumeMounts"):
        status["volumeMounts"] = [_mount(mount, newest) for mount in mounts]
    if allocated:
        status["allocatedResources"] = allocated
    if len(runs) > 1 and runs[1].state is State.EXITED:
        status["lastState"] = {"terminated": _terminated(runs[1], seen)}
    return status


def _remember(status: Obj, old: Obj | None) -> None:
    """What the runtime no longer knows where runs were taken away: how often it ran, and how it last ended."""
    if old is None:
        return
    status["restartCount"] = max(status["restartCount"], old.get("restartCount", 0))
    ended = (old.get("state") or {}).get("terminated")
    if ended and old.get("containerID") != status["containerID"]:
        status["lastState"] = {"terminated": ended}
    elif not status["lastState"] and old.get("lastState"):
        status["lastState"] = old["lastState"]


def _without_runs(container: Obj, old: Obj | None, waiting: str, restarting: bool) -> Obj:
    """No record of it in the runtime: never created, or removed behind the agent's back."""
    status: Obj = {
        "name": container["name"],
        "state": {"waiting": {"reason": waiting}},
        "lastState": {},
        "ready": False,
        "started": False,
        "restartCount": 0,
        "image": container.get("image", ""),
        "imageID": "",
    }
    if old is None:
        return status
    status["restartCount"] = old.get("restartCount", 0)
    state = old.get("state") or {}
    if restarting and "waiting" not in state:
        end = {"exitCode": 137, "reason": restarts.REASON, "message": restarts.MESSAGE}
        status["state"] = {"waiting": {"reason": restarts.REASON, "message": restarts.MESSAGE}}
        status["lastState"] = {"terminated": {**end, "startedAt": None, "finishedAt": None}}
        status["restartCount"] += 1
        return status
    if "terminated" in state:
        return {**old, "ready": False, "started": False}
    if "running" in state:
        status["lastState"] = {
            "terminated": {
                "exitCode": 137,
                "reason": "ContainerStatusUnknown",
                "message": "The container could not be located when the pod was deleted.  "
                "The container used to be Running",
                "startedAt": None,
                "finishedAt": None,
                "containerID": old.get("containerID", ""),
            }
        }
        status["restartCount"] += 1
    elif old.get("lastState"):
        status["lastState"] = old["lastState"]
    return status


def container_statuses(
    pod: Obj, listed: list[Obj], record: PodRecord, old: list[Obj], seen: Observations, *, init: bool
) -> list[Obj]:
    """Statuses of `listed`: init containers in their order, others by name."""
    waiting = "ContainerCreating"
    if podspec.init_containers(pod):
        waiting = "PodInitializing"
    previous = {status["name"]: status for status in old}
    in_place = restarts.all_could_restart(pod)
    found = []
    for container in listed:
        runs = [c for c in record.containers if c.name == container["name"]]
        if runs:
            status = _from_runs(container, runs, seen, waiting)
            if in_place:
                _remember(status, previous.get(container["name"]))
        else:
            status = _without_runs(container, previous.get(container["name"]), waiting, seen.restarting)
        last = (previous.get(container["name"]) or {}).get("allocatedResourcesStatus") or []
        if devices := _devices(seen.devices.get(container["name"]) or [], last):
            status["allocatedResourcesStatus"] = devices
        _show_waiting(pod, container, runs, status, seen, init=init)
        found.append(_init_readiness(container, status) if init else status)
    return found if init else sorted(found, key=lambda s: str(s["name"]))


def _devices(now: list[Obj], last: list[Obj]) -> list[Obj]:
    """What was given back at the pod's end stays as it was told last: how it was then may be why the pod ended."""
    names = {each["name"] for each in now}
    return [*now, *(each for each in last if each["name"] not in names)]


def _show_waiting(
    pod: Obj, container: Obj, runs: list[Container], status: Obj, seen: Observations, *, init: bool
) -> None:
    why = seen.waiting.get(container["name"])
    if why is None or seen.terminating or not _will_start(pod, container, runs, init=init):
        return
    if "terminated" in status["state"]:
        status["lastState"] = status["state"]
    status["state"] = {"waiting": {"reason": why.reason}}
    if why.message:
        status["state"]["waiting"]["message"] = why.message


def _will_start(pod: Obj, container: Obj, runs: list[Container], *, init: bool) -> bool:
    if podspec.deleting(pod):
        return False
    if not runs:
        return True
    newest = runs[0]
    if newest.state is State.RUNNING:
        return False
    if newest.state is not State.EXITED:
        return True
    if init and not podspec.is_sidecar(container) and newest.exit_code == 0:
        return False
    return restarts.policy(pod, container).restarts(newest.exit_code)


def _init_readiness(container: Obj, status: Obj) -> Obj:
    """An ordinary init container is ready once it is done."""
    if podspec.is_sidecar(container):
        return status
    done = status["state"].get("terminated")
    return {
        **status,
        "ready": bool(done) and done["exitCode"] == 0,
        "started": bool("running" in status["state"]),
    }

"""What of one pod failed, and when each may be tried again. Pure but for what it remembers; times are passed in.

Upstream's pace: a step that failed (sandbox, image, configuration, creation) is tried again with the pod's next
synchronization, 10 to 15 s later; volumes after 0.5 s, then twice as long each time up to about two minutes; a
container that ran and ended backs off from 10 s to 5 min, counted from its end.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from agent import podspec
from agent.containers.backoff import Backoff
from agent.containers.config import container_hash
from agent.containers.images import StartError
from agent.cri.model import Container, PodRecord, State
from agent.pods.actions import VOLUMES, Hold, Pace
from apimachinery.objects import Obj

SYNC_SECONDS = 10.0
NETWORK_SECONDS = 1.0
"""A network that is not there yet comes soon."""
SHOW_BACKOFF_SECONDS = 3.0
"""After a failed pull, until its back-off is shown."""
_VOLUME_SECONDS, _VOLUME_CEILING = 0.5, 122.0
SETTLING_SECONDS = 2.0
"""Just after a pod was bound, the API server may not yet know that this node may read what the pod refers to."""
_SETTLING_RETRY = 0.2
_AFTER_RUNNING = ("RunContainerError", "PostStartHookError")


def jittered(seconds: float) -> float:
    """Between ``seconds`` and half as much again, as upstream spreads its retries."""
    return seconds * (1 + random.random() / 2)


@dataclass
class Attempts:
    """One pod's. ``crashes``: the back-off of ended containers, shared by all pods."""

    crashes: Backoff
    born: float
    """When the pod was first seen here."""
    _holds: dict[str, Hold] = field(default_factory=dict)
    _specs: dict[str, str] = field(default_factory=dict)
    """Hash of the container each hold was set for: a changed one is tried at once."""
    _told: dict[str, tuple[str, float]] = field(default_factory=dict)
    _volume_delay: float = 0.0

    def pace(self, pod: Obj, record: PodRecord, now: float) -> Pace:
        """What the planner must respect now."""
        holds = {
            step: hold
            for step, hold in self._holds.items()
            if step.startswith("/") or self._specs.get(step) == _spec(pod, step)
        }
        for container in podspec.all_containers(pod):
            hold = self._crash_hold(pod, container, record)
            known = holds.get(container["name"])
            if hold is not None and now < hold.until and (known is None or known.until < hold.until):
                holds[container["name"]] = hold
        return Pace(now, holds)

    def _crash_hold(self, pod: Obj, container: Obj, record: PodRecord) -> Hold | None:
        ended = _last_end(record, container["name"])
        if not ended:
            return None
        key = backoff_key(pod, container)
        until = self.crashes.until(key, ended)
        full, name, delay = podspec.full_name(pod), container["name"], _duration(self.crashes.delay(key))
        text = f"back-off {delay} restarting failed container={name} pod={full}"
        told = f"Back-off restarting failed container {name} in pod {full}"
        return Hold(until, "CrashLoopBackOff", text, ("Warning", "BackOff", told)) if until else None

    # --- what happened

    def begins(self, pod: Obj, container: Obj, record: PodRecord, now: float) -> None:
        """A container is about to be started: if it ended before, the next end waits longer."""
        self._holds.pop(container["name"], None)
        if ended := _last_end(record, container["name"]):
            self.crashes.bump(backoff_key(pod, container), now, ended)

    def failed(self, pod: Obj, step: str, hold: Hold) -> None:
        self._holds[step] = hold
        self._specs[step] = _spec(pod, step)

    def start_failed(self, pod: Obj, name: str, error: StartError, now: float, *, ended: bool) -> bool:
        """Whether the user is to hear of it. ``ended``: the container was made and has ended; then its crash back-off
        says when it is tried again."""
        if error.settling and self._settling(now):
            self.failed(pod, name, Hold(now + _SETTLING_RETRY))
            return False
        if ended and error.reason in _AFTER_RUNNING:
            return True
        until = self.later(now)
        if error.reason == "ErrImagePull":
            until = now + SHOW_BACKOFF_SECONDS
        elif error.retry_at:
            # Before that, it may have come to the node by another way.
            until = min(until, error.retry_at)
        self.failed(pod, name, Hold(until, error.reason, error.message))
        return True

    def _settling(self, now: float) -> bool:
        return now - self.born < SETTLING_SECONDS

    def later(self, now: float, seconds: float = SYNC_SECONDS) -> float:
        """The date of the next attempt at what failed now."""
        return now + jittered(seconds)

    def volumes_failed(self, pod: Obj, now: float, *, settling: bool) -> bool:
        """Whether the user is to hear of it. ``settling``: it was the API server, which may only need a moment."""
        if settling and self._settling(now):
            self.failed(pod, VOLUMES, Hold(now + _SETTLING_RETRY))
            return False
        self._volume_delay = min(max(_VOLUME_SECONDS, 2 * self._volume_delay), _VOLUME_CEILING)
        self.failed(pod, VOLUMES, Hold(now + self._volume_delay))
        return True

    def volumes_ready(self) -> None:
        self._holds.pop(VOLUMES, None)
        self._volume_delay = 0.0

    def succeeded(self, step: str) -> None:
        self._holds.pop(step, None)
        self._told.pop(step, None)

    def objects_changed(self) -> None:
        """What the pod refers to may be there now: what failed for want of it is tried at once."""
        self._holds.pop(VOLUMES, None)
        for step in [s for s, hold in self._holds.items() if hold.reason == "CreateContainerConfigError"]:
            del self._holds[step]

    def news(self, step: str, reason: str, until: float) -> bool:
        """Whether this cause was not told yet: a back-off is met again at each look, and told once."""
        known, self._told[step] = self._told.get(step), (reason, until)
        return known != (reason, until)


def backoff_key(pod: Obj, container: Obj) -> str:
    """A changed container starts afresh."""
    return f"{podspec.uid(pod)}_{container['name']}_{container_hash(container)}"


def _spec(pod: Obj, step: str) -> str:
    container = podspec.find_container(pod, step)
    return container_hash(container) if container is not None else ""


def _last_end(record: PodRecord, name: str) -> float:
    """When the newest ended run of a container ended (seconds since the epoch); 0: none did."""
    ended: Container | None = next((c for c in record.containers if c.name == name and c.state is State.EXITED), None)
    return (ended.finished_at or ended.created_at) / 1e9 if ended is not None else 0.0


def _duration(seconds: float) -> str:
    """10s, 1m20s, 5m0s: as Go prints it."""
    whole = int(seconds)
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"

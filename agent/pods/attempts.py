"""What of one pod failed, and when each may be tried again. Times are passed in, and nothing but memory is touched.

Upstream's pace: a step that failed (sandbox, image, configuration, creation) is tried again with the pod's next
synchronization, 10 to 15 s later; volumes after 0.5 s, then twice as long each time up to about two minutes; a
container that ran and ended backs off from 10 s to 5 min, counted from its end.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from agent import podspec
from agent.containers.container_config import container_hash
from agent.containers.images import IMAGE_REASONS
from agent.cri.model import Container, PodRecord, State
from agent.failures import SandboxError, StartError
from agent.pods.actions import COLLECTION, SANDBOX, VOLUMES, Hold, Pace
from agent.pods.backoff import Backoff
from apimachinery.objects import Obj

SYNC_SECONDS = 10.0
NETWORK_SECONDS = 1.0
"""A network that is not there yet comes soon."""
SHOW_BACKOFF_SECONDS = 3.0
"""After a failed pull, until its back-off is shown."""
_VOLUME_SECONDS, _VOLUME_CEILING = 0.5, 122.0
_AWAITED_SECONDS = 1.0
"""Between two looks at a claim that is not bound; upstream's kubelet asks ten times a second."""
SETTLING_SECONDS = 2.0
"""Just after a pod was bound, the API server may not yet know that this node may read what the pod refers to."""
_SETTLING_RETRY, _UNSETTLED_RETRY = 0.2, 0.5
_AFTER_RUNNING = ("RunContainerError", "PostStartHookError")


Event = tuple[str, str, str]


def jittered(seconds: float) -> float:
    """Between `seconds` and half as much again, as upstream spreads its retries."""
    return seconds * (1 + random.random() / 2)


@dataclass
class Attempts:
    """One pod's. `crashes`: the back-off of ended containers; `born`: when the pod was first seen here."""

    crashes: Backoff
    born: float
    _pulls: Backoff = field(default_factory=Backoff)
    """By image."""
    _pull_errors: dict[str, str] = field(default_factory=dict)
    _holds: dict[str, Hold] = field(default_factory=dict)
    _specs: dict[str, str] = field(default_factory=dict)
    """Hash of the container each hold was set for: a changed one is tried at once."""
    _told: dict[str, tuple[str, float]] = field(default_factory=dict)
    _volume_delay: float = 0.0
    _volumes_told_next: float = 0.0

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
        pulls = ((image, self._pull_hold(image, now)) for image in self._pull_errors)
        return Pace(now, holds, {image: hold for image, hold in pulls if hold is not None})

    def _pull_hold(self, image: str, now: float) -> Hold | None:
        until = self._pulls.waiting(image, now)
        text = f'Back-off pulling image "{image}"'
        why = f"{text}: ErrImagePull: {self._pull_errors[image]}"
        return Hold(until, "ImagePullBackOff", why, ("Normal", "BackOff", text)) if until else None

    def _crash_hold(self, pod: Obj, container: Obj, record: PodRecord) -> Hold | None:
        ended = _last_end(record, container["name"])
        if not ended:
            return None
        key = backoff_key(container)
        until = self.crashes.until(key, ended)
        full, name, delay = podspec.full_name(pod), container["name"], _duration(self.crashes.delay(key))
        text = f"back-off {delay} restarting failed container={name} pod={full}"
        told = f"Back-off restarting failed container {name} in pod {full}"
        return Hold(until, "CrashLoopBackOff", text, ("Warning", "BackOff", told)) if until else None

    # --- what happened

    def begins(self, container: Obj, record: PodRecord, now: float) -> None:
        """A container is about to be started: if it ended before, the next end waits longer."""
        self._holds.pop(container["name"], None)
        if ended := _last_end(record, container["name"]):
            self.crashes.bump(backoff_key(container), now, ended)

    def start_failed(self, pod: Obj, name: str, error: StartError, now: float, *, ended: bool) -> bool:
        """Whether the user is to hear of it. `ended`: the container was made and has ended; then its crash back-off
        says when it is tried again."""
        if error.settling and self._settling(now):
            self._hold(pod, name, Hold(now + _SETTLING_RETRY))
            return False
        if ended and error.reason in _AFTER_RUNNING:
            return True
        until = now + jittered(SYNC_SECONDS)
        if error.reason == "ErrImagePull":
            self._pulls.bump(error.image, now)
            self._pull_errors[error.image] = error.message
            until = now + SHOW_BACKOFF_SECONDS
        elif error.image:
            # Before that, it may have come to the node by another way.
            until = min(until, self._pulls.waiting(error.image, now) or now)
        self._hold(pod, name, Hold(until, error.reason, error.message))
        return True

    def events(self, name: str, error: StartError, now: float) -> tuple[Event, ...]:
        """What the user is told of a failed start, as (type, reason, text): a back-off is met again at each attempt,
        and told once for each of its dates."""
        until = self._pulls.waiting(error.image, now) if error.image else 0.0
        if until and not self.news(name, error.reason, until):
            return ()
        told = (error.event,) if error.event[2] else ()
        return (*told, ("Warning", "Failed", f"Error: {error.reason}")) if error.reason in IMAGE_REASONS else told

    def unsettled(self, pod: Obj, name: str, now: float) -> None:
        """What an earlier attempt had begun is not over yet: nobody need hear of it."""
        self._hold(pod, name, Hold(now + _UNSETTLED_RETRY))

    def sandbox_failed(self, pod: Obj, error: SandboxError, now: float) -> None:
        seconds = NETWORK_SECONDS if error.network else SYNC_SECONDS
        self._hold(pod, SANDBOX, Hold(now + jittered(seconds)))

    def collection_failed(self, pod: Obj, now: float) -> None:
        self._hold(pod, COLLECTION, Hold(now + jittered(SYNC_SECONDS)))

    def _hold(self, pod: Obj, step: str, hold: Hold) -> None:
        self._holds[step] = hold
        self._specs[step] = _spec(pod, step)

    def _settling(self, now: float) -> bool:
        return now - self.born < SETTLING_SECONDS

    def volumes_failed(self, pod: Obj, now: float, *, settling: bool, awaited: bool = False) -> bool:
        """Whether the user is to hear of it. `settling`: it was the API server, which may only need a moment.
        `awaited`: another may bring it about at any moment, so it is looked at often; it is told of as the rest is."""
        if settling and self._settling(now):
            self._hold(pod, VOLUMES, Hold(now + _SETTLING_RETRY))
            return False
        told = not awaited or now >= self._volumes_told_next
        if told:
            self._volume_delay = min(max(_VOLUME_SECONDS, 2 * self._volume_delay), _VOLUME_CEILING)
            self._volumes_told_next = now + self._volume_delay
        wait = min(self._volume_delay, _AWAITED_SECONDS) if awaited else self._volume_delay
        self._hold(pod, VOLUMES, Hold(now + wait))
        return told

    def volumes_ready(self) -> None:
        self._holds.pop(VOLUMES, None)
        self._volume_delay = self._volumes_told_next = 0.0

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


def backoff_key(container: Obj) -> str:
    """A changed container starts afresh."""
    return f"{container['name']}_{container_hash(container)}"


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

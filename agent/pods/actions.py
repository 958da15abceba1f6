"""What the planner is given and what it decides: frozen, complete, walked by the applier from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.cri.model import PodRecord
from agent.probes.verdicts import ProbeVerdicts


@dataclass(frozen=True)
class Kill:
    """Stop one container. `probe`: which probe asked (its own grace period counts), else empty."""

    container_id: str
    name: str
    message: str
    probe: str = ""


@dataclass(frozen=True)
class Reset:
    """Take one run of a container away, so that it starts as if for the first time."""

    container_id: str
    kill: bool
    """It is not over yet: stopped first, without grace."""


# The steps of a pod that are not a container's, as keys of `Pace.holds`.
SANDBOX, VOLUMES, COLLECTION = "/sandbox", "/volumes", "/collection"


@dataclass(frozen=True)
class Hold:
    """A step that failed, or a container that ended, is not tried again before `until` (seconds since the epoch)."""

    until: float
    reason: str = ""
    """What the container's waiting state shows; empty: nothing of its own."""
    message: str = ""
    event: tuple[str, str, str] = ("", "", "")
    """(type, reason, text) to be told when the hold begins; empty: none."""


@dataclass(frozen=True)
class Pace:
    """What may not be tried yet, by container name, `SANDBOX` or `VOLUMES`."""

    now: float = 0.0
    holds: Mapping[str, Hold] = field(default_factory=dict)
    pulls: Mapping[str, Hold] = field(default_factory=dict)
    """Images whose pulls failed, by reference."""

    def held(self, step: str) -> Hold | None:
        """The hold on `step` that has not run out."""
        hold = self.holds.get(step)
        return hold if hold is not None and self.now < hold.until else None


@dataclass(frozen=True)
class Seen:
    """What is there of a pod."""

    record: PodRecord
    verdicts: ProbeVerdicts = field(default_factory=ProbeVerdicts)
    logged: Mapping[str, int] = field(default_factory=dict)
    """The attempts, by container, that the runtime has forgotten and that left a log: how many there were."""


@dataclass(frozen=True)
class PodActions:
    """One step towards what the pod's specification asks for."""

    kill_pod: bool = False
    """Stop every container and the sandboxes."""
    create_sandbox: bool = False
    attempt: int = 0
    """Of the sandbox to create."""
    sandbox_id: str = ""
    """The sandbox to start containers in, empty where one is to be created or none is wanted."""
    sandbox_changed: str = ""
    """Why a previous sandbox cannot be used any longer."""
    kills: tuple[Kill, ...] = ()
    reset: tuple[Reset, ...] = ()
    """Where a container's end restarts all: every run, in this order, and nothing else in this step."""
    init: tuple[str, ...] = ()
    """Init containers to start, by name, in order: nothing comes after one that has to end first."""
    ephemeral: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    attempts: Mapping[str, int] = field(default_factory=dict)
    """The number of each start, by container."""
    updates: tuple[str, ...] = ()
    """Containers whose resources change while they run, by name."""
    no_pulls: Mapping[str, Hold] = field(default_factory=dict)
    """Images, by reference, that must be there already: it is too early to pull them again."""
    discards: tuple[str, ...] = ()
    """Ids of containers that were made and never ran: removed, and made anew with the same attempt."""
    held: Mapping[str, Hold] = field(default_factory=dict)
    """What would be done now, were it not too early."""

    @property
    def starts(self) -> tuple[str, ...]:
        """Every container to start, by name, in order."""
        return (*self.ephemeral, *self.init, *self.containers)

    @property
    def idle(self) -> bool:
        acts = self.kill_pod or self.create_sandbox or self.kills or self.reset or self.discards
        return not (acts or self.starts)

    @property
    def due(self) -> float:
        """When the first held step may be tried (seconds since the epoch); 0: nothing is held."""
        return min((hold.until for hold in self.held.values()), default=0.0)

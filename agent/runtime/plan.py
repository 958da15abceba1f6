"""What the planner decides: frozen, complete, walked by the applier from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kill:
    """Stop one container. ``probe``: which probe asked (its own grace period counts), else empty."""

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


@dataclass(frozen=True)
class ProbeVerdicts:
    """Container ids by what their probes last decided; a container in neither set has no verdict yet."""

    liveness_failed: frozenset[str] = frozenset()
    startup_failed: frozenset[str] = frozenset()
    startup_passed: frozenset[str] = frozenset()


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
    """Init containers to start, by name, in order."""
    ephemeral: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()

    @property
    def idle(self) -> bool:
        starts = self.init or self.ephemeral or self.containers
        return not (self.kill_pod or self.create_sandbox or self.kills or self.reset or starts)


@dataclass(frozen=True)
class Backoff:
    """Until when (seconds since the epoch) a container, by name, must not be started again."""

    until: Mapping[str, float] = field(default_factory=dict)

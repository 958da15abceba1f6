"""The life of a pod on this node and its legal moves."""

from __future__ import annotations

import enum


class Stage(enum.Enum):
    ADMITTING = "admitting"
    """It is not decided yet whether it may run here, or devices and room for it are not had yet."""
    SYNC = "sync"
    """It should run: sandbox and containers are made and kept."""
    TERMINATING = "terminating"
    """It must stop: containers are being killed; nothing is started any more."""
    TERMINATED = "terminated"
    """Nothing runs; volumes and cgroups are being released."""
    FINISHED = "finished"
    """Released. Its containers are kept for their logs until it is deleted or leaves its source."""
    CLEANED = "cleaned"
    """Nothing of it is left but the status, until it leaves its source."""


MOVES: dict[Stage, frozenset[Stage]] = {
    Stage.ADMITTING: frozenset({Stage.SYNC, Stage.TERMINATING}),
    Stage.SYNC: frozenset({Stage.TERMINATING}),
    Stage.TERMINATING: frozenset({Stage.TERMINATED}),
    Stage.TERMINATED: frozenset({Stage.FINISHED}),
    Stage.FINISHED: frozenset({Stage.CLEANED}),
    Stage.CLEANED: frozenset(),
}


class IllegalMove(Exception):
    """A worker tried to go back in a pod's life."""


def move(current: Stage, to: Stage) -> Stage:
    """`to`, or IllegalMove."""
    if to not in MOVES[current]:
        raise IllegalMove(f"{current.value} -> {to.value}")
    return to

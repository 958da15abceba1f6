"""The life of a pod on this node and its legal moves."""

from __future__ import annotations

import enum


class Stage(enum.Enum):
    SYNC = "sync"
    """It should run: sandbox and containers are made and kept."""
    TERMINATING = "terminating"
    """It must stop: containers are being killed; nothing is started any more."""
    TERMINATED = "terminated"
    """Nothing runs; volumes, cgroups and directories are being released."""
    FINISHED = "finished"
    """Released. The worker lives on only to hold the final status until the pod leaves its source."""


MOVES: dict[Stage, frozenset[Stage]] = {
    Stage.SYNC: frozenset({Stage.TERMINATING}),
    Stage.TERMINATING: frozenset({Stage.TERMINATED}),
    Stage.TERMINATED: frozenset({Stage.FINISHED}),
    Stage.FINISHED: frozenset(),
}


class IllegalMove(Exception):
    """A worker tried to go back in a pod's life."""


def move(current: Stage, to: Stage) -> Stage:
    """``to``, or IllegalMove."""
    if to not in MOVES[current]:
        raise IllegalMove(f"{current.value} -> {to.value}")
    return to

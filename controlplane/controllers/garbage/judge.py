"""What becomes of one object whose owners were looked up. Pure; upstream's attemptToDeleteItem."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.controllers import names
from controlplane.controllers.garbage.graph import Item, Owner


class State(enum.Enum):
    """An owner, as the API server has it."""

    SOLID = "there"
    ABSENT = "gone, or another object by that name"
    WAITING = "being deleted in the foreground, waiting for its dependents"


@dataclass(frozen=True)
class Verdict:
    """`drop`: owner uids to remove from the references; `delete`: a propagation policy; neither: leave it.

    `unblock`: first make the references to owners non-blocking (a cycle would wait for itself).
    """

    drop: tuple[str, ...] = ()
    delete: str = ""
    unblock: bool = False


def judge(item: Item, owners: Sequence[tuple[Owner, State]], dependents: Sequence[Item]) -> Verdict:
    """`item`: fresh from the API server and not being deleted; `dependents`: what it owns itself."""
    if not owners:
        return Verdict()
    solid = any(state is State.SOLID for _, state in owners)
    waiting = any(state is State.WAITING for _, state in owners)
    if solid:
        return Verdict(drop=tuple(owner.uid for owner, state in owners if state is not State.SOLID))
    if waiting and dependents:
        circular = any(dependent.waits_for_dependents for dependent in dependents)
        return Verdict(delete="Foreground", unblock=circular)
    if names.ORPHAN_FINALIZER in item.finalizers:
        return Verdict(delete="Orphan")
    if names.FOREGROUND_FINALIZER in item.finalizers:
        return Verdict(delete="Foreground")
    return Verdict(delete="Background")

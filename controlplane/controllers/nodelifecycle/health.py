"""Whether a node is silent, and the conditions that say so. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from apimachinery.objects import Obj
from apimachinery.timestamps import format_time

WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(frozen=True)
class Heard:
    """What was last heard of a node and when, on our own monotonic clock (seconds).

    `signs` change with every lease renewal and every status the node writes.
    """

    signs: tuple[str, ...]
    at: float


def hear(before: Heard | None, node: Obj, lease: Obj | None, clock: float) -> Heard:
    """The record after looking again: a new sign counts as heard now."""
    beats = [str(c.get("lastHeartbeatTime") or "") for c in (node.get("status") or {}).get("conditions") or ()]
    renewed = str(((lease or {}).get("spec") or {}).get("renewTime") or "")
    signs = (renewed, *beats)
    if before is not None and before.signs == signs:
        return before
    return Heard(signs, clock)


def forgive(heard: Heard, seconds: float) -> Heard:
    """The record after `seconds` in which we ourselves could not listen."""
    return replace(heard, at=heard.at + seconds)


def patience(lease: Obj | None, grace: float) -> float:
    """How many seconds of silence are allowed to a node that says in its lease how long that is good for: as many, and
    never more than `grace`.
    """
    seconds = ((lease or {}).get("spec") or {}).get("leaseDurationSeconds")
    return min(grace, float(seconds)) if isinstance(seconds, int) and seconds > 0 else grace


def silenced(node: Obj, now: datetime) -> list[Obj] | None:
    """The node's conditions with the watched ones Unknown; None where they are already."""
    conditions: Sequence[Obj] = (node.get("status") or {}).get("conditions") or ()
    by_type = {c.get("type"): c for c in conditions}
    stamp = format_time(now)
    result = list(conditions)
    changed = False
    for kind in WATCHED:
        old = by_type.get(kind)
        if old is None:
            changed = True
            created = node["metadata"].get("creationTimestamp") or stamp
            result.append(_unknown(kind, "NodeStatusNeverUpdated", "Kubelet never posted node status.", created, stamp))
        elif old.get("status") != "Unknown":
            changed = True
            text = "Kubelet stopped posting node status."
            beat = str(old.get("lastHeartbeatTime") or stamp)
            result[result.index(old)] = _unknown(kind, "NodeStatusUnknown", text, beat, stamp)
    return result if changed else None


def _unknown(kind: str, reason: str, message: str, heartbeat: str, stamp: str) -> Obj:
    return {
        "type": kind,
        "status": "Unknown",
        "lastHeartbeatTime": heartbeat,
        "lastTransitionTime": stamp,
        "reason": reason,
        "message": message,
    }

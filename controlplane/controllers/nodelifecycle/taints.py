"""The taints a node's conditions ask for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from apimachinery.objects import Obj, condition
from apimachinery.timestamps import format_time
from controlplane.controllers import names

# (condition, status) to the key of its NoSchedule taint.
BY_CONDITION = {
    ("Ready", "False"): names.NOT_READY,
    ("Ready", "Unknown"): names.UNREACHABLE,
    ("MemoryPressure", "True"): names.MEMORY_PRESSURE,
    ("DiskPressure", "True"): names.DISK_PRESSURE,
    ("NetworkUnavailable", "True"): names.NETWORK_UNAVAILABLE,
    ("PIDPressure", "True"): names.PID_PRESSURE,
}
OURS = frozenset((*BY_CONDITION.values(), names.UNSCHEDULABLE))
EVICTING = frozenset((names.NOT_READY, names.UNREACHABLE))


def ready_status(node: Obj) -> str:
    """True, False or Unknown; Unknown for a node that never said."""
    ready = condition(node, "Ready")
    return str(ready.get("status") or "Unknown") if ready else "Unknown"


def no_schedule(node: Obj) -> set[str]:
    """Keys of the NoSchedule taints the node should have of us."""
    keys = set()
    for held in (node.get("status") or {}).get("conditions") or ():
        key = BY_CONDITION.get((held.get("type", ""), held.get("status", "")))
        if key is not None:
            keys.add(key)
    if (node.get("spec") or {}).get("unschedulable"):
        keys.add(names.UNSCHEDULABLE)
    return keys


def no_execute(node: Obj) -> str | None:
    """Key of the NoExecute taint the node's readiness asks for; None for one that is ready or never said."""
    if condition(node, "Ready") is None:
        return None
    return {"False": names.NOT_READY, "Unknown": names.UNREACHABLE}.get(ready_status(node))


def tainted(node: Obj, may_evict: bool, now: datetime) -> list[Obj] | None:
    """The node's taints as they should be; None where they are. Foreign taints stay.

    `may_evict`: whether a NoExecute taint may be added now; one that no longer fits is always taken away.
    """
    old: Sequence[Obj] = (node.get("spec") or {}).get("taints") or ()
    wanted = {(key, "NoSchedule") for key in no_schedule(node)}
    evicting = no_execute(node)
    if evicting is not None:
        # A node between False and Unknown swaps one eviction for the other: that starts no new one.
        begun = any(t.get("key") in EVICTING and t.get("effect") == "NoExecute" for t in old)
        if may_evict or begun:
            wanted.add((evicting, "NoExecute"))
    kept = [t for t in old if not _is_ours(t) or (t.get("key"), t.get("effect")) in wanted]
    present = {(t.get("key"), t.get("effect")) for t in kept}
    added = [
        {"key": key, "effect": effect, "timeAdded": format_time(now)}
        for key, effect in sorted(wanted)
        if (key, effect) not in present
    ]
    return [*kept, *added] if added or len(kept) != len(old) else None


def _is_ours(taint: Obj) -> bool:
    key, effect = taint.get("key"), taint.get("effect")
    return (effect == "NoSchedule" and key in OURS) or (effect == "NoExecute" and key in EVICTING)

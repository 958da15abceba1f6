"""The strategic merge patch from one pod status to another. Pure.

Conditions and addresses merge by key on the server, so that conditions others set survive; every other list is
replaced.
"""

from __future__ import annotations

from typing import Any

from agent.status.conditions import DISRUPTION_TARGET, OWNED, RESIZES
from apimachinery.objects import Obj

_MERGED = {"conditions": "type", "podIPs": "ip", "hostIPs": "ip"}


def status_patch(written: Obj, wanted: Obj) -> Obj:
    """Empty where nothing differs. Keys the agent does not set are left alone, keys it no longer sets are
    cleared."""
    patch: Obj = {}
    for key, value in wanted.items():
        if _said(written.get(key)) == _said(value):
            continue
        if key == "conditions":
            if changed := _conditions(written.get(key) or [], value):
                patch[key] = changed
        elif key in _MERGED:
            patch[key] = [*value, {"$patch": "replace"}]
        elif isinstance(value, dict):
            patch[key] = {**value, "$patch": "replace"}
        else:
            patch[key] = value
    for key in _CLEARED:
        if key in written and key not in wanted:
            patch[key] = None
    return patch


# Fields only the agent writes, which may vanish again.
_CLEARED = (
    "reason",
    "message",
    "podIP",
    "podIPs",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "allocatedResources",
)


def _said(value: Any) -> Any:
    """Without nulls and empty objects, which say nothing and may not survive the server."""
    if isinstance(value, dict):
        plain = {key: _said(item) for key, item in value.items()}
        return {key: item for key, item in plain.items() if item is not None and item != {}} or None
    if isinstance(value, list):
        return [_said(item) for item in value]
    return value


def _conditions(written: list[Obj], wanted: list[Obj]) -> list[Obj]:
    held = {c["type"]: c for c in written}
    changed = []
    for condition in wanted:
        before = held.get(condition["type"])
        if condition["type"] not in (*OWNED, DISRUPTION_TARGET) or _said(condition) == _said(before):
            continue
        # A merged condition keeps what the patch does not name.
        stale = {key: None for key in (before or {}) if key not in condition}
        changed.append({**condition, **stale})
    there = {condition["type"] for condition in wanted}
    # A resize that is over leaves nothing behind.
    changed += [{"type": kind, "$patch": "delete"} for kind in RESIZES if kind in held and kind not in there]
    return changed

"""Conditions of a status, as the API conventions have them: one of each type, dated where its status changed. Pure.

Source: Kubernetes' API conventions, "Typical status properties".
"""

from __future__ import annotations

from collections.abc import Iterable

from apimachinery.objects import Obj


def dated(conditions: Iterable[Obj], condition: Obj, now: str) -> Obj:
    """A condition with its lastTransitionTime: that of the one of its type among `conditions` while the status is the
    same, else `now` (RFC 3339).
    """
    old: Obj = next((each for each in conditions if each.get("type") == condition["type"]), {})
    since = old.get("lastTransitionTime") if old.get("status") == condition["status"] else None
    return {**condition, "lastTransitionTime": since or now}


def placed(conditions: Iterable[Obj], condition: Obj) -> list[Obj]:
    """The conditions with this one where the one of its type stood, or at the end."""
    found = list(conditions)
    for number, each in enumerate(found):
        if each.get("type") == condition["type"]:
            found[number] = condition
            return found
    return [*found, condition]

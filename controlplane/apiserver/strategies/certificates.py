"""Certificate signing requests: what is asked for stands, verdicts and failures carry their time."""

from __future__ import annotations

from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now
from controlplane.apiserver.catalog.strategy import Paths, keep_spec

UNOWNED: dict[str, Paths] = {
    "": (("spec",), ("status",)),
    "status": (("spec",), ("status", "conditions")),
    "approval": (("spec",), ("status", "certificate")),
}
"""What nobody owns: the endpoint cannot change it."""


def changed(new: Obj, old: Obj) -> None:
    """The request itself never changes."""
    new["spec"] = old["spec"]


def status(new: Obj, old: Obj) -> None:
    """A verdict is not given here: as many as there were stay as they were, and more or fewer are refused later."""
    keep_spec(new, old)
    conditions = (new.get("status") or {}).get("conditions") or []
    for verdict in ("Approved", "Denied"):
        before = [c for c in (old.get("status") or {}).get("conditions") or () if c.get("type") == verdict]
        places = [at for at, c in enumerate(conditions) if c.get("type") == verdict]
        if len(before) == len(places):
            for at, condition in zip(places, before, strict=True):
                conditions[at] = condition
    date_conditions(new, old)


def date_conditions(new: Obj, old: Obj) -> None:
    """Conditions that come without a time get one; a standing status keeps the time it began."""
    known = {c.get("type"): c for c in (old.get("status") or {}).get("conditions") or ()}
    moment = format_time(now())
    for condition in (new.get("status") or {}).get("conditions") or ():
        before = known.get(condition.get("type")) or {}
        if not condition.get("lastTransitionTime"):
            stands = before.get("status") == condition.get("status") and before.get("lastTransitionTime")
            condition["lastTransitionTime"] = stands or moment
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = moment

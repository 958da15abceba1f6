"""What the server keeps in an object beside what its writer wants: its status, its generation, its end."""

from __future__ import annotations

from apimachinery.kinds import Kind
from apimachinery.objects import Obj, alike
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.defaults.empties import Empties

# Subresources that are the server's own word on an object: they may set spec and status in one write.
WHOLE = frozenset({"binding", "approval"})


def deletion_is_due(obj: Obj) -> bool:
    """A marked object without finalizers and without grace left goes with the write that took the last one
    off.
    """
    found: Obj = obj["metadata"]
    return "deletionTimestamp" in found and not found.get("finalizers") and not found.get("deletionGracePeriodSeconds")


def has_status(kind: Kind) -> bool:
    """Status is split off: create and update drop or keep it, only its subresource changes it."""
    return "status" in kind.subresources


def keep_status(new: Obj, old: Obj) -> None:
    if "status" in old:
        new["status"] = old["status"]
    else:
        new.pop("status", None)


def count_generation(strategy: Strategy, new: Obj, old: Obj, subresource: str, empties: Empties) -> None:
    if not strategy.generation:
        return
    standing = old["metadata"].get("generation", 1)
    if subresource in ("status", *WHOLE):
        new["metadata"]["generation"] = standing
        return
    parts = {*new, *old} - {"metadata", "kind", "apiVersion"} - (set() if strategy.counts_status else {"status"})
    changed = any(new.get(key) != old.get(key) or not alike(new.get(key), old.get(key)) for key in parts)
    if strategy.counts_empties:
        changed |= any(empties.within(new.get(key)) for key in parts)
    changed &= not strategy.generation_stands
    counted = (("annotations", strategy.counts_annotations), ("labels", strategy.counts_labels))
    if not subresource:
        changed |= any(counts and new["metadata"].get(f) != old["metadata"].get(f) for f, counts in counted)
    new["metadata"]["generation"] = standing + 1 if changed else standing


def is_as_it_was(new: Obj, old: Obj) -> bool:
    """Whether a change changes nothing; that a manager has said once more what it owns is nothing."""
    if new == old:
        return alike(new, old)
    entries, before = new["metadata"].get("managedFields"), old["metadata"].get("managedFields")
    if not entries or not before or list(map(_timeless, entries)) != list(map(_timeless, before)):
        return False
    single = {**new, "metadata": {**new["metadata"], "managedFields": before}}
    return single == old and alike(single, old)


def _timeless(entry: Obj) -> Obj:
    return {**entry, "time": ""}

"""Whose a claim is, so that the garbage collector takes it when persistentVolumeClaimRetentionPolicy says so. Pure.

KEP-1847: with whenDeleted=Delete the set owns the claim; with whenScaled=Delete a pod that is to go for good owns it.
An owner of the right name and another uid is a former one: such a claim is about to be collected and is left alone.
"""

from __future__ import annotations

from apimachinery.objects import Obj, name, owner_reference, uid
from controlplane.controllers.statefulset.identity import in_range


def is_stale(stateful_set: Obj, claim: Obj, pod_name: str) -> bool:
    """Whether a claim goes with a former pod of the name: the new pod has to wait for a new claim."""
    refs = claim["metadata"].get("ownerReferences") or ()
    return _policy(stateful_set)[1] and any(r["kind"] == "Pod" and r["name"] == pod_name for r in refs)


def conflict(stateful_set: Obj, claim: Obj, pod: Obj) -> bool:
    """Whether somebody else controls the claim; the policy is then ignored for it."""
    if not any(_policy(stateful_set)):
        return False
    for ref in claim["metadata"].get("ownerReferences") or ():
        ours = next((o for o in (stateful_set, pod) if _names(ref, o)), None)
        if (ref["uid"] != uid(ours)) if ours is not None else ref.get("controller"):
            return True
    return False


def settled(stateful_set: Obj, claim: Obj, pod: Obj, number: int) -> Obj | None:
    """The claim with the owners it should have, or None where it has them."""
    refs = list(claim["metadata"].get("ownerReferences") or ())
    if any(_names(r, o) and r["uid"] != uid(o) for r in refs for o in (stateful_set, pod)):
        return None
    wanted = [r for r in refs if not any(_names(r, o) for o in (stateful_set, pod))]
    if not conflict(stateful_set, claim, pod):
        when_deleted, when_scaled = _policy(stateful_set)
        leaving = not in_range(stateful_set, number)
        if when_scaled and leaving:
            wanted.append(owner_reference(pod))
        elif when_deleted:
            wanted.append(owner_reference(stateful_set))
    if _told(wanted) == _told(refs):
        return None
    return {**claim, "metadata": {**claim["metadata"], "ownerReferences": wanted}}


def _told(refs: list[Obj]) -> set[tuple[str, bool]]:
    return {(r["uid"], bool(r.get("controller"))) for r in refs}


def _policy(stateful_set: Obj) -> tuple[bool, bool]:
    """Whether claims go (when the set is deleted, when it is scaled down)."""
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenDeleted") == "Delete", policy.get("whenScaled") == "Delete"


def _names(ref: Obj, owner: Obj) -> bool:
    kind, version = owner["kind"], owner["apiVersion"]
    return (ref["kind"], ref["apiVersion"], ref["name"]) == (kind, version, name(owner))

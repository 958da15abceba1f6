"""How a claim made for a pod looks, and what is left of one whose users have ended. Pure. Source: KEP-4381."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from apimachinery import objects
from apimachinery.objects import Obj, name, namespace, owner_reference, uid
from apimachinery.pods.devices import FINALIZER, Use
from controlplane.controllers import pod_status

MADE_FOR = "resource.kubernetes.io/pod-claim-name"

# What generateName leaves for the name of a claim, less a hyphen and five letters.
_LONGEST_BASE = 57


def base_of(pod_name: str, entry: str) -> str:
    """What the name of a claim begins with: a pod's name and its claim's, both cut where they are too long."""
    base = f"{pod_name}-{entry}-"
    if len(base) <= _LONGEST_BASE:
        return base
    share = _LONGEST_BASE / len(base)
    return f"{pod_name[: int(len(pod_name) * share)]}-{entry[: int(len(entry) * share)]}"


def made(pod: Obj, use: Use, template: Obj, claim_name: str) -> Obj:
    """The claim of one of a pod's entries."""
    given = template["spec"].get("metadata") or {}
    owner = owner_reference(pod)
    del owner["blockOwnerDeletion"]
    metadata: Obj = {"name": claim_name, "generateName": base_of(name(pod), use.entry), "namespace": namespace(pod)}
    metadata |= {"ownerReferences": [owner], "annotations": {**(given.get("annotations") or {}), MADE_FOR: use.entry}}
    if given.get("labels"):
        metadata["labels"] = given["labels"]
    spec = template["spec"].get("spec") or {}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata, "spec": spec}


def found(pod: Obj, use: Use, claims: Iterable[Obj]) -> str:
    """The name of the claim that was made for an entry of a pod, "" for none; `claims`: those that the pod owns."""
    mine = (c for c in claims if objects.annotations(c).get(MADE_FOR) == use.entry and not objects.is_deleting(c))
    return min((name(claim) for claim in mine), default="")


def is_done(pod: Obj) -> bool:
    """Whether it is certain that no container of a pod runs or ever will."""
    unbound = objects.is_deleting(pod) and not pod["spec"].get("nodeName")
    return unbound or pod_status.phase(pod) in pod_status.FINAL


def consumer(pod: Obj) -> Obj:
    """A pod in `status.reservedFor`."""
    return {"resource": "pods", "name": name(pod), "uid": uid(pod)}


def pods_of(claim: Obj) -> list[Obj]:
    """Those of a claim's users that are pods."""
    users = (claim.get("status") or {}).get("reservedFor") or ()
    return [who for who in users if not who.get("apiGroup") and who.get("resource") == "pods"]


def released(claim: Obj, ended: Collection[str]) -> Obj:
    """The claim without the users whose uids are `ended`; without an allocation, too, once nobody is left who had it.

    An allocation that nobody has used yet stays: a driver need not reserve what it allocates. It goes with a claim that
    is to go. The same object where nothing changes.
    """
    status = claim.get("status") or {}
    users = status.get("reservedFor") or []
    left = [who for who in users if who.get("uid") not in ended]
    finished = len(left) < len(users) or objects.is_deleting(claim)
    ours = FINALIZER in (claim["metadata"].get("finalizers") or ())
    if not finished or (left == users and not ours):
        return claim
    wanted = {key: value for key, value in status.items() if key != "reservedFor"}
    if left:
        wanted["reservedFor"] = left
    elif ours:
        wanted.pop("allocation", None)
    return {**claim, "status": wanted} if wanted != status else claim


def unprotected(claim: Obj, before: Obj) -> Obj | None:
    """The claim without the finalizer that kept it while it was allocated; None where it has to keep it.

    `before`: as it was; a claim that nobody gave back keeps its finalizer, for the scheduler puts it on before it
    allocates.
    """
    finalizers = claim["metadata"].get("finalizers") or []
    status = claim.get("status") or {}
    free = not status.get("allocation") and not status.get("reservedFor")
    given_back = bool((before.get("status") or {}).get("reservedFor")) or objects.is_deleting(claim)
    if FINALIZER not in finalizers or not free or not given_back:
        return None
    return {**claim, "metadata": {**claim["metadata"], "finalizers": [f for f in finalizers if f != FINALIZER]}}


def owning_pod(claim: Obj) -> tuple[str, str]:
    """Name and uid of the pod that a claim was made for; "" for a claim of its own."""
    owner = objects.controller_of(claim) or {}
    if owner.get("apiVersion") != "v1" or owner.get("kind") != "Pod":
        return "", ""
    return str(owner["name"]), str(owner["uid"])

"""What the binder does with one volume: which phase it is in, and what its reclaim policy asks for. Pure."""

from __future__ import annotations

from apimachinery import objects
from apimachinery.objects import Obj, name, uid
from apimachinery.volumes import matching
from apimachinery.volumes.claims import BOUND_BY_CONTROLLER, PROVISIONED_BY
from controlplane.controllers.notes import Note
from controlplane.controllers.volumes.plan import Step, phased


def release(volume: Obj, claim: Obj | None) -> Step:
    """`claim`: the claim of the name that the volume is bound to, None when there certainly is none."""
    found = volume["spec"].get("claimRef") or {}
    if not found.get("uid"):
        # Unused, or kept for a claim that the binder has not looked at.
        return Step(phased(volume, "Available"))
    if claim is None or uid(claim) != found["uid"]:
        return _reclaim(volume)
    if not claim["spec"].get("volumeName"):
        return _mismatched(volume, claim) if matching.mode(volume) != matching.mode(claim) else Step()
    if claim["spec"]["volumeName"] == name(volume):
        return Step(phased(volume, "Bound"))
    policy = volume["spec"].get("persistentVolumeReclaimPolicy")
    if PROVISIONED_BY in objects.annotations(volume) and policy == "Delete":
        return _reclaim(volume)
    return Step(phased(unbound(volume), "Available"))


def unbound(volume: Obj) -> Obj:
    """The volume without the claim that the binder gave it; one that a person kept for a claim stays kept."""
    spec = {k: v for k, v in volume["spec"].items() if k != "claimRef"}
    if BOUND_BY_CONTROLLER in objects.annotations(volume):
        marks = {k: v for k, v in objects.annotations(volume).items() if k != BOUND_BY_CONTROLLER}
        metadata = {k: v for k, v in volume["metadata"].items() if k != "annotations"}
        return {**volume, "metadata": metadata | ({"annotations": marks} if marks else {}), "spec": spec}
    kept = {k: v for k, v in volume["spec"]["claimRef"].items() if k != "uid"}
    return {**volume, "spec": {**spec, "claimRef": kept}}


def _mismatched(volume: Obj, claim: Obj) -> Step:
    why = "due to incompatible volumeMode."
    to_claim = f'Cannot bind PersistentVolume "{name(volume)}" to requested PersistentVolumeClaim {why}'
    to_volume = f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{name(claim)}" {why}'
    notes = Note("Warning", "VolumeMismatch", to_claim), Note("Warning", "VolumeMismatch", to_volume, volume)
    return Step(notes=notes)


def _reclaim(volume: Obj) -> Step:
    """Its claim is gone."""
    policy = volume["spec"].get("persistentVolumeReclaimPolicy")
    if policy == "Delete" and not _has_own_deleter(volume):
        why = f'error getting deleter volume plugin for volume "{name(volume)}": no deletable volume plugin matched'
        return _failed(volume, "VolumeFailedDelete", why)
    if policy == "Recycle":
        return _failed(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
    phase = (volume.get("status") or {}).get("phase")
    return Step() if phase in ("Released", "Failed") else Step(phased(volume, "Released"))


def _has_own_deleter(volume: Obj) -> bool:
    provisioner = objects.annotations(volume).get(PROVISIONED_BY) or ""
    return bool(provisioner) and not provisioner.startswith("kubernetes.io/")


def _failed(volume: Obj, reason: str, message: str) -> Step:
    wanted = phased(volume, "Failed", message)
    return Step() if wanted is volume else Step(wanted, notes=(Note("Warning", reason, message, volume),))

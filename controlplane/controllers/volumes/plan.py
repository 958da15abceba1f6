"""What the binder does with one claim. Pure: every write may be lost, and the next look goes on from what stands.

Source: "Persistent Volumes" in the Kubernetes documentation, its part on the life of a volume and a claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apimachinery import objects
from apimachinery.objects import Obj, name, reference, uid
from apimachinery.volumes import claims, matching
from apimachinery.volumes.claims import BIND_COMPLETED, BOUND_BY_CONTROLLER
from controlplane.controllers.notes import Note

_LOST = "Data on the volume is lost!"


@dataclass(frozen=True)
class Step:
    """How the volume and the claim should be, in this order of writing; None: left as it is."""

    volume: Obj | None = None
    claim: Obj | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class World:
    """What stands around a claim: volumes that it may get or names, classes by name, unscheduled pods that use it."""

    volumes: Mapping[str, Obj]
    classes: Mapping[str, Obj]
    waiting: Sequence[str] = ()


def plan(claim: Obj, world: World) -> Step:
    """What is to be done with a claim."""
    if BIND_COMPLETED in objects.annotations(claim):
        return _bound(claim, world)
    if claim["spec"].get("volumeName"):
        return _named(claim, world)
    delayed = claims.is_delayed(claim, world.classes)
    volume = matching.best(claim, world.volumes.values(), kept_only=delayed)
    return bind(volume, claim) if volume is not None else _without(claim, world, delayed)


def _without(claim: Obj, world: World, delayed: bool) -> Step:
    """No volume suits: one may have to be made."""
    if not claims.has_class(claim) and (default := claims.default_class(world.classes.values())):
        return Step(claim={**claim, "spec": {**claim["spec"], "storageClassName": default}})
    if delayed and claims.SELECTED_NODE not in objects.annotations(claim):
        return _pending(claim, Note("Normal", *_waits(world.waiting)))
    if wanted := claims.class_of(claim):
        return _provision(claim, world.classes.get(wanted), wanted)
    text = "no persistent volumes available for this claim and no storage class is set"
    return _pending(claim, Note("Normal", "FailedBinding", text))


def _waits(pods: Sequence[str]) -> tuple[str, str]:
    if not pods:
        return "WaitForFirstConsumer", "waiting for first consumer to be created before binding"
    which = f"pods {','.join(pods)}" if len(pods) > 1 else f"pod {pods[0]}"
    return "WaitForPodScheduled", f"waiting for {which} to be scheduled"


def _provision(claim: Obj, storage_class: Obj | None, wanted: str) -> Step:
    """Tell the provisioner of the class that it is its turn."""
    if storage_class is None:
        text = f'storageclass.storage.k8s.io "{wanted}" not found'
        return Step(notes=(Note("Warning", "ProvisioningFailed", text),))
    provisioner = str(storage_class.get("provisioner"))
    if provisioner.startswith("kubernetes.io/"):
        text = f"no volume plugin matched name: {provisioner}"
        return Step(notes=(Note("Warning", "ProvisioningFailed", text),))
    marks = dict.fromkeys((claims.STORAGE_PROVISIONER, claims.BETA_STORAGE_PROVISIONER), provisioner)
    text = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the"
        " system administrator. If volume creation is delayed, please verify that the provisioner is running and"
        " correctly registered."
    )
    return Step(claim=annotated(claim, marks), notes=(Note("Normal", "ExternalProvisioning", text),))


def _named(claim: Obj, world: World) -> Step:
    """A claim that asks for one volume by name."""
    wanted = claim["spec"]["volumeName"]
    volume = world.volumes.get(wanted)
    if volume is None:
        return _pending(claim)
    if not volume["spec"].get("claimRef"):
        if wrong := matching.complaint(volume, claim):
            text = f'Cannot bind to requested volume "{wanted}": {wrong}'
            return _pending(claim, Note("Warning", "VolumeMismatch", text))
        return bind(volume, claim)
    if matching.is_for(volume, claim):
        return bind(volume, claim)
    return _pending(claim, Note("Warning", "FailedBinding", f'volume "{wanted}" already bound to a different claim.'))


def _bound(claim: Obj, world: World) -> Step:
    """A claim whose binding was finished once."""
    wanted = claim["spec"].get("volumeName")
    volume = world.volumes.get(wanted or "")
    if volume is None:
        what = "its PersistentVolume" if wanted else "reference to PersistentVolume"
        return _lost(claim, Note("Warning", "ClaimLost", f"Bound claim has lost {what}. {_LOST}"))
    found = volume["spec"].get("claimRef") or {}
    if not found or found.get("uid") == uid(claim):
        return bind(volume, claim)
    text = "Two claims are bound to the same volume, this one is bound incorrectly"
    return _lost(claim, Note("Warning", "ClaimMisbound", text))


def bind(volume: Obj, claim: Obj) -> Step:
    """Both as they are when bound to each other."""
    wanted = volume
    found = volume["spec"].get("claimRef") or {}
    if not matching.is_for(volume, claim):
        wanted = annotated(wanted, {BOUND_BY_CONTROLLER: "yes"})
    if not found or found.get("uid") != uid(claim):
        wanted = {**wanted, "spec": {**wanted["spec"], "claimRef": reference(claim)}}
    wanted = phased(wanted, "Bound")
    marks = {BIND_COMPLETED: "yes"}
    if claim["spec"].get("volumeName") != name(volume):
        marks[BOUND_BY_CONTROLLER] = "yes"
    target = annotated({**claim, "spec": {**claim["spec"], "volumeName": name(volume)}}, marks)
    status: Obj = dict(claim.get("status") or {})
    if status.get("phase") != "Bound":
        status["capacity"] = dict(volume["spec"].get("capacity") or {})
        if attributes := volume["spec"].get("volumeAttributesClassName"):
            status["currentVolumeAttributesClassName"] = attributes
    status |= {"phase": "Bound", "accessModes": volume["spec"].get("accessModes") or []}
    return Step(wanted, {**target, "status": status})


def _pending(claim: Obj, *notes: Note) -> Step:
    return Step(claim={**claim, "status": _unbound(claim, "Pending")}, notes=notes)


def _lost(claim: Obj, note: Note) -> Step:
    notes = () if (claim.get("status") or {}).get("phase") == "Lost" else (note,)
    return Step(claim={**claim, "status": _unbound(claim, "Lost")}, notes=notes)


def _unbound(claim: Obj, phase: str) -> Obj:
    without = ("accessModes", "capacity", "currentVolumeAttributesClassName")
    return {**{k: v for k, v in (claim.get("status") or {}).items() if k not in without}, "phase": phase}


def annotated(obj: Obj, marks: Mapping[str, str]) -> Obj:
    """The object with these annotations; the same object where it has them."""
    if marks.items() <= objects.annotations(obj).items():
        return obj
    return {**obj, "metadata": {**obj["metadata"], "annotations": {**objects.annotations(obj), **marks}}}


def phased(volume: Obj, phase: str, message: str = "") -> Obj:
    """The volume in a phase, with the reason why in `message`."""
    status = volume.get("status") or {}
    if status.get("phase") == phase and (status.get("message") or "") == message:
        return volume
    told = {k: v for k, v in status.items() if k not in ("message", "reason", "lastPhaseTransitionTime")}
    return {**volume, "status": {**told, "phase": phase, **({"message": message} if message else {})}}

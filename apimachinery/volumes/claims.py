"""Claims: which of them a pod uses, their class, and how far their binding is.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/ ; annotations as in the reference of well-known
ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from apimachinery import objects
from apimachinery.objects import Obj, controller_of, key, name, namespace, uid

BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
WAIT = "WaitForFirstConsumer"
_DEFAULTS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


@dataclass(frozen=True)
class Use:
    """A pod's volume that is a claim; `ephemeral`: the claim is made for this pod alone."""

    volume: str
    claim: str
    ephemeral: bool = False
    read_only: bool = False


def uses(pod: Obj) -> Iterator[Use]:
    """The claims a pod uses, by its volumes."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        claim = volume.get("persistentVolumeClaim")
        if claim is not None:
            yield Use(volume["name"], claim.get("claimName") or "", read_only=bool(claim.get("readOnly")))
        elif volume.get("ephemeral") is not None:
            yield Use(volume["name"], f"{name(pod)}-{volume['name']}", ephemeral=True)


def keys_of(pod: Obj) -> list[str]:
    """The same as keys of claims."""
    return [f"{namespace(pod)}/{use.claim}" for use in uses(pod)]


def is_used(used: Iterable[Use], space: str, claim: Obj) -> bool:
    """Whether a claim is one of those that a pod of that namespace uses."""
    return namespace(claim) == space and any(use.claim == name(claim) for use in used)


def not_made_for(claim: Obj, pod: Obj) -> str:
    """What is wrong with an ephemeral volume's claim that was not made for the pod; "" where it was."""
    if (controller_of(claim) or {}).get("uid") == uid(pod):
        return ""
    return f"PVC {key(claim)} was not created for pod {key(pod)} (pod is not owner)"


def class_of(obj: Obj) -> str:
    """The class of a claim or a volume, "" for none."""
    told = objects.annotations(obj).get(BETA_CLASS)
    return str(told if told is not None else obj["spec"].get("storageClassName") or "")


def has_class(claim: Obj) -> bool:
    """Whether a claim says which class it wants, be it none."""
    return BETA_CLASS in objects.annotations(claim) or claim["spec"].get("storageClassName") is not None


def default_class(classes: Iterable[Obj], marks: Iterable[str] = _DEFAULTS) -> str:
    """The class marked as default, the newest of several, and of those of one second the first by name; "" for none."""
    marked = [one for one in classes if any(objects.annotations(one).get(mark) == "true" for mark in marks)]
    if not marked:
        return ""
    newest = max(one["metadata"]["creationTimestamp"] for one in marked)
    return min(name(one) for one in marked if one["metadata"]["creationTimestamp"] == newest)


def is_bound(claim: Obj) -> bool:
    """Whether the binder has finished with it."""
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in objects.annotations(claim)


def is_delayed(claim: Obj, classes: Mapping[str, Obj]) -> bool:
    """Whether the claim waits for a pod to be scheduled; `classes` by name."""
    return (classes.get(class_of(claim)) or {}).get("volumeBindingMode") == WAIT

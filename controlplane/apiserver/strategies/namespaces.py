"""Namespaces: they go in two steps, emptied by a controller that then takes their own finalizer off."""

from __future__ import annotations

from apimachinery.objects import Obj

FINALIZER = "kubernetes"


def prepare_create(namespace: Obj) -> None:
    namespace["status"] = {"phase": "Active"}
    spec = namespace["spec"]
    finalizers = spec.setdefault("finalizers", [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)


def prepare_update(new: Obj, old: Obj) -> None:
    """spec.finalizers change through /finalize alone."""
    new["spec"]["finalizers"] = list(old["spec"].get("finalizers") or ())
    if not new["spec"]["finalizers"]:
        del new["spec"]["finalizers"]
    new["status"] = old["status"]


def prepare_finalize(new: Obj, old: Obj) -> None:
    new["status"] = old["status"]


def deleting(namespace: Obj) -> None:
    """What the first DELETE does besides the timestamp."""
    namespace["status"]["phase"] = "Terminating"
    namespace["metadata"].pop("deletionGracePeriodSeconds", None)


def holds(namespace: Obj) -> bool:
    """A namespace is marked first, whatever it holds, and not removed while spec has finalizers."""
    return "deletionTimestamp" not in namespace["metadata"] or bool(namespace["spec"].get("finalizers"))

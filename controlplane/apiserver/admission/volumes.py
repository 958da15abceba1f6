"""Steps for storage: finalizers that keep what is in use, and which claims may grow."""

from __future__ import annotations

from apimachinery import errors, kinds, quantity
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.request import Obj
from controlplane.apiserver.seam import Admission

_FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


class StorageProtection:
    """StorageObjectInUseProtection: claims, volumes and their classes go only when nothing uses them any more."""

    async def admit(self, admission: Admission) -> None:
        finalizer = _FINALIZERS.get(admission.kind.resource)
        if finalizer is None or admission.operation != "CREATE" or admission.subresource or admission.obj is None:
            return
        finalizers = admission.obj["metadata"].setdefault("finalizers", [])
        if finalizer not in finalizers:
            finalizers.append(finalizer)


class ClaimResize:
    """PersistentVolumeClaimResize: only a bound claim grows, and only if its class says that it can."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def guard(self, admission: Admission) -> None:
        """Raises Forbidden."""
        new, old = admission.obj, admission.old
        if admission.kind.resource != "persistentvolumeclaims" or admission.subresource or new is None or old is None:
            return
        if _storage(new) <= _storage(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            why = "Only bound persistent volume claims can be expanded"
        elif not self._grows(new, old):
            why = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
                "must support resize"
            )
        else:
            return
        raise errors.forbidden("persistentvolumeclaims", admission.name, why)

    def _grows(self, new: Obj, old: Obj) -> bool:
        name = _class_of(new)
        if not name or name != _class_of(old):
            return False
        found = self._registry.find(kinds.STORAGE_CLASS, "", name)
        return found is not None and bool(found.get("allowVolumeExpansion"))


def _storage(claim: Obj) -> quantity.Quantity:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity.parse(requests.get("storage") or 0)


def _class_of(claim: Obj) -> str:
    annotated = (claim["metadata"].get("annotations") or {}).get(_BETA_CLASS)
    return annotated or claim["spec"].get("storageClassName") or ""

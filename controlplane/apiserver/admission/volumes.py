"""Steps for storage: finalizers that keep what is in use, and which claims may grow."""

from __future__ import annotations

from apimachinery import errors, kinds, quantity
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.volumes.claims import class_of
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation

_FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(Plugin):
    """Claims, volumes and their classes go only when nothing uses them any more."""

    name = "StorageObjectInUseProtection"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind.resource in _FINALIZERS and not subresource and operation == "CREATE"

    def admit(self, admission: Admission) -> None:
        finalizer = _FINALIZERS[admission.kind.resource]
        assert admission.obj is not None
        finalizers = admission.obj["metadata"].setdefault("finalizers", [])
        if finalizer not in finalizers:
            finalizers.append(finalizer)


class PersistentVolumeClaimResize(Plugin):
    """Only a bound claim grows, and only if its class says that it can."""

    name = "PersistentVolumeClaimResize"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind.resource == "persistentvolumeclaims" and not subresource and operation == "UPDATE"

    def validate(self, admission: Admission) -> None:
        """Raises Forbidden."""
        new, old = admission.obj, admission.old
        assert new is not None and old is not None
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
        name = class_of(new)
        if not name or name != class_of(old):
            return False
        found = self.registry.find(kinds.STORAGE_CLASS, "", name)
        return found is not None and bool(found.get("allowVolumeExpansion"))


def _storage(claim: Obj) -> quantity.Quantity:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity.parse(requests.get("storage") or 0)

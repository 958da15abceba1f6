"""Selectors of whoever is asked about a write: of its namespace and of its object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apimachinery import selectors
from apimachinery.kinds import NAMESPACE
from apimachinery.selectors import LabelSelector
from controlplane.apiserver.admission_request import Admission

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry


@dataclass(frozen=True)
class Selected:
    """Called with a write it says whether that is selected; raises NotFound for a namespace that is not there."""

    namespaces: LabelSelector = selectors.EVERYTHING
    objects: LabelSelector = selectors.EVERYTHING

    def __call__(self, admission: Admission, registry: Registry) -> bool:
        space = admission.given_name if admission.kind is NAMESPACE else admission.namespace
        if not self.namespaces.empty and (space or admission.kind is NAMESPACE):
            own = _changes_namespace(admission)
            namespace = (admission.obj or {}) if own else registry.get(NAMESPACE, "", space)
            if not self.namespaces.matches(namespace["metadata"].get("labels")):
                return False
        if self.objects.empty:
            return True
        held = (obj for obj in (admission.obj, admission.old) if obj is not None)
        return any(self.objects.matches((obj.get("metadata") or {}).get("labels")) for obj in held)


ANY = Selected()


def _changes_namespace(admission: Admission) -> bool:
    """Whether the labels that count are those of the object itself."""
    return admission.kind is NAMESPACE and not admission.subresource and admission.operation in ("CREATE", "UPDATE")

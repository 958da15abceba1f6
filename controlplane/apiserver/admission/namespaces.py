"""NamespaceLifecycle: nothing is created in a namespace that is not there or is going; some cannot be deleted."""

from __future__ import annotations

from apimachinery import errors, kinds
from apimachinery.kinds import Kind
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation

_IMMORTAL = frozenset(("default", "kube-system", "kube-public"))
# Reviews are asked about namespaces whose existence is not to be told.
_REVIEWS = frozenset(("localsubjectaccessreviews",))


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        if kind.resource == "namespaces":
            return operation == "DELETE" and not subresource
        return operation == "CREATE" and kind.namespaced and kind.plural not in _REVIEWS

    def admit(self, admission: Admission) -> None:
        """Raises NotFound, Forbidden."""
        kind = admission.kind
        if not kind.namespaced:
            self._keep(admission)
            return
        namespace = self.registry.find(kinds.NAMESPACE, "", admission.namespace)
        if namespace is None:
            raise errors.not_found("namespaces", admission.namespace)
        if namespace["status"].get("phase") != "Terminating":
            return
        why = f"unable to create new content in namespace {admission.namespace} because it is being terminated"
        error = errors.forbidden(kind.plural, admission.name, why, kind.group)
        assert error.details is not None
        error.details["causes"] = [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {admission.namespace} is being terminated",
                "field": "metadata.namespace",
            }
        ]
        raise error

    def _keep(self, admission: Admission) -> None:
        if admission.name in _IMMORTAL:
            raise errors.forbidden("namespaces", admission.name, "this namespace may not be deleted")

"""NamespaceLifecycle: nothing is created in a namespace that is not there or is going; some cannot be
deleted.
"""

from __future__ import annotations

from apimachinery import errors, kinds
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.seam import Admission

_IMMORTAL = frozenset(("default", "kube-system", "kube-public"))
# Reviews are asked about namespaces whose existence is not to be told.
_REVIEWS = frozenset(("localsubjectaccessreviews",))


class NamespaceLifecycle:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def admit(self, admission: Admission) -> None:
        """Raises NotFound, Forbidden."""
        kind = admission.kind
        if admission.operation != "CREATE" or not kind.namespaced or kind.plural in _REVIEWS:
            return
        namespace = self._registry.find(kinds.NAMESPACE, "", admission.namespace)
        if namespace is None:
            raise errors.not_found("namespaces", admission.namespace)
        if admission.subresource or namespace["status"].get("phase") != "Terminating":
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

    async def guard(self, admission: Admission) -> None:
        """Raises Forbidden."""
        deleting = admission.operation == "DELETE" and admission.kind.resource == "namespaces"
        if deleting and admission.name in _IMMORTAL:
            raise errors.forbidden("namespaces", admission.name, "this namespace may not be deleted")

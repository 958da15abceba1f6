"""The order of the built-in steps, upstream's."""

from __future__ import annotations

from controlplane.apiserver.admission.namespaces import NamespaceLifecycle
from controlplane.apiserver.admission.nodes import NotReadyTaint
from controlplane.apiserver.admission.pods import DefaultTolerations, Priority
from controlplane.apiserver.admission.runtime_classes import RuntimeClasses
from controlplane.apiserver.admission.service_accounts import ServiceAccounts
from controlplane.apiserver.admission.volumes import ClaimResize, StorageProtection
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.seam import AdmissionStep


def mutating(registry: Registry) -> tuple[AdmissionStep, ...]:
    return (
        NamespaceLifecycle(registry).admit,
        ServiceAccounts(registry).admit,
        NotReadyTaint().admit,
        Priority(registry).admit,
        DefaultTolerations().admit,
        StorageProtection().admit,
        RuntimeClasses(registry).admit,
    )


def validating(registry: Registry) -> tuple[AdmissionStep, ...]:
    return (
        NamespaceLifecycle(registry).guard,
        ClaimResize(registry).guard,
        RuntimeClasses(registry).guard,
    )

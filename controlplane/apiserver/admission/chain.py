"""The admission chain: every plugin in upstream's order, in one tuple. A new plugin is its module and a row here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from controlplane.apiserver.admission.authority import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    DeviceAccess,
    NodeRestriction,
    PolicyParameters,
    Requester,
    RoleEscalation,
)
from controlplane.apiserver.admission.classes import DefaultIngressClass, DefaultStorageClass
from controlplane.apiserver.admission.limits import LimitRanger
from controlplane.apiserver.admission.namespaces import NamespaceLifecycle
from controlplane.apiserver.admission.nodes import (
    NodeDeclaredFeatureValidator,
    PodTopologyLabels,
    TaintNodesByCondition,
)
from controlplane.apiserver.admission.plugin import Needs, Plugin, Wait
from controlplane.apiserver.admission.podsecurity.plugin import PodSecurity
from controlplane.apiserver.admission.policies.mutating import MutatingAdmissionPolicy
from controlplane.apiserver.admission.policies.validating import ValidatingAdmissionPolicy
from controlplane.apiserver.admission.priority import Priority
from controlplane.apiserver.admission.quota.plugin import ResourceQuota
from controlplane.apiserver.admission.resize import PodResizeValidator
from controlplane.apiserver.admission.runtime_classes import RuntimeClasses
from controlplane.apiserver.admission.service_accounts import ServiceAccounts
from controlplane.apiserver.admission.tolerations import DefaultTolerationSeconds
from controlplane.apiserver.admission.volumes import PersistentVolumeClaimResize, StorageObjectInUseProtection
from controlplane.apiserver.admission.webhooks.plugins import MutatingAdmissionWebhook, ValidatingAdmissionWebhook
from controlplane.apiserver.admission_request import Admission

# Upstream's AllOrderedPlugins, those that are on by default. Requester, RoleEscalation, DeviceAccess and
# PolicyParameters are no plugins there but parts of the storage of their kinds, between the mutating and the validating
# phase.
PLUGINS: tuple[type[Plugin], ...] = (
    NamespaceLifecycle,
    LimitRanger,
    ServiceAccounts,
    NodeRestriction,
    TaintNodesByCondition,
    PodSecurity,
    Priority,
    DefaultTolerationSeconds,
    DefaultStorageClass,
    StorageObjectInUseProtection,
    PersistentVolumeClaimResize,
    RuntimeClasses,
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    DefaultIngressClass,
    PodTopologyLabels,
    NodeDeclaredFeatureValidator,
    PodResizeValidator,
    MutatingAdmissionPolicy,
    MutatingAdmissionWebhook,
    Requester,
    RoleEscalation,
    DeviceAccess,
    PolicyParameters,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionWebhook,
    ResourceQuota,
)

Step = Callable[[Admission], Wait]
Phase = Literal["admit", "validate"]


class Chain:
    """The plugins in order. Which of them a write concerns is worked out once for each kind of write."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._known: dict[tuple[str, ...], tuple[Step, ...]] = {}

    async def admit(self, admission: Admission) -> None:
        """The mutating phase. Raises ApiError."""
        steps = self._steps("admit", admission)
        await _run(steps, admission)
        if admission.reinvoke:
            admission.again = True
            await _run(steps, admission)

    async def validate(self, admission: Admission) -> None:
        """The validating phase. Raises ApiError."""
        await _run(self._steps("validate", admission), admission)

    def _steps(self, phase: Phase, admission: Admission) -> tuple[Step, ...]:
        kind, subresource, operation = admission.kind, admission.subresource, admission.operation
        key = (phase, kind.group, kind.version, kind.plural, subresource, operation)
        steps = self._known.get(key)
        if steps is None:
            concerned = [plugin for plugin in self.plugins if plugin.concerns(kind, subresource, operation)]
            idle = getattr(Plugin, phase)
            steps = tuple(getattr(plugin, phase) for plugin in concerned if getattr(type(plugin), phase) is not idle)
            self._known[key] = steps
        return steps


async def _run(steps: tuple[Step, ...], admission: Admission) -> None:
    for step in steps:
        wait = step(admission)
        if wait is not None:
            await wait


def build(needs: Needs) -> Chain:
    """The chain of one server; plugins that its settings name as disabled are left out."""
    off = frozenset(needs.settings.disable_admission)
    return Chain([plugin(needs) for plugin in PLUGINS if plugin.name not in off])

"""The admission chain: upstream's order, what a plugin costs, who is asked."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from apimachinery import kinds
from apimachinery.kinds import Kind
from controlplane.apiserver.admission.chain import PLUGINS, Chain
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation
from controlplane.apiserver.request import User

# The plugins that are on by default in v1.36, in the order of the API server's own list. Those whose feature is off by
# default there do nothing: ClusterTrustBundleAttest, PodGroupProtection, PodGroupWorkloadExists, JobValidation.
UPSTREAM = (
    *("NamespaceLifecycle", "LimitRanger", "ServiceAccount", "NodeRestriction", "TaintNodesByCondition"),
    *("PodSecurity", "Priority", "DefaultTolerationSeconds", "DefaultStorageClass", "StorageObjectInUseProtection"),
    *("PersistentVolumeClaimResize", "RuntimeClass", "CertificateApproval", "CertificateSigning"),
    *("CertificateSubjectRestriction", "DefaultIngressClass", "PodTopologyLabels"),
    *("NodeDeclaredFeatureValidator", "PodResizeValidator"),
    *("MutatingAdmissionPolicy", "MutatingAdmissionWebhook", "ValidatingAdmissionPolicy"),
    *("ValidatingAdmissionWebhook", "ResourceQuota"),
)
# Upstream's storage of these kinds does this between the two phases.
OF_STORAGE = {"CertificateRequester", "RBACEscalation", "ResourceClaimAuthorization", "PolicyParametersAuthorization"}


def test_the_order_is_upstream_s() -> None:
    names = [plugin.name for plugin in PLUGINS if plugin.name not in OF_STORAGE]
    assert names == [name for name in UPSTREAM if name in names]


class Spy(Plugin):
    name = "Spy"

    def __init__(self, log: list[str], waits: bool) -> None:
        self.log, self.waits, self.asked = log, waits, 0

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        self.asked += 1
        return kind is kinds.POD

    def admit(self, admission: Admission) -> Awaitable[None] | None:
        self.log.append("called")
        return self._later() if self.waits else None

    async def _later(self) -> None:
        await asyncio.sleep(0)
        self.log.append("waited")


def admission(kind: Kind, **more: Any) -> Admission:
    return Admission(User("u"), "CREATE", kind, "", "ns", "n", {}, None, {}, **more)


def test_plugins_are_called_in_order_and_waited_for() -> None:
    log: list[str] = []
    chain = Chain([Spy(log, waits=True), Spy(log, waits=False)])
    asyncio.run(chain.admit(admission(kinds.POD)))
    assert log == ["called", "waited", "called"]


def test_who_is_not_concerned_is_asked_once() -> None:
    log: list[str] = []
    spy = Spy(log, waits=False)
    chain = Chain([spy])

    async def many() -> None:
        for _ in range(5):
            await chain.admit(admission(kinds.CONFIG_MAP))
            await chain.validate(admission(kinds.CONFIG_MAP))

    asyncio.run(many())
    assert log == [] and spy.asked == 2

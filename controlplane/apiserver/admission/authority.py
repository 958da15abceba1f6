"""What authorization has to say about a write's content: who may give what to whom. The decisions lie in authz/."""

from __future__ import annotations

from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE, Kind
from controlplane.apiserver.admission.plugin import Needs, Plugin
from controlplane.apiserver.admission_request import Admission, Operation
from controlplane.apiserver.authz import devices, policies, rbac, signing
from controlplane.apiserver.authz.escalation import Escalation
from controlplane.apiserver.authz.node_restriction import NodeRestriction as Restriction


class NodeRestriction(Plugin):
    name = "NodeRestriction"

    def __init__(self, needs: Needs) -> None:
        super().__init__(needs)
        self._restriction = Restriction(needs.registry, needs.authorize)

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return operation != "CONNECT"

    def admit(self, admission: Admission) -> None:
        self._restriction(admission)


class CertificateApproval(Plugin):
    name = "CertificateApproval"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is CERTIFICATE_SIGNING_REQUEST and subresource == "approval" and operation == "UPDATE"

    def validate(self, admission: Admission) -> None:
        signing.check_approval(self.needs.authorize, admission)


class CertificateSigning(Plugin):
    name = "CertificateSigning"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is CERTIFICATE_SIGNING_REQUEST and subresource == "status" and operation == "UPDATE"

    def validate(self, admission: Admission) -> None:
        signing.check_signing(self.needs.authorize, admission)


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is CERTIFICATE_SIGNING_REQUEST and not subresource and operation == "CREATE"

    def validate(self, admission: Admission) -> None:
        signing.restrict_subject(admission)


class Requester(Plugin):
    """A certificate signing request says who made it."""

    name = "CertificateRequester"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is CERTIFICATE_SIGNING_REQUEST and operation in ("CREATE", "UPDATE")

    def admit(self, admission: Admission) -> None:
        signing.record_requester(admission)


class RoleEscalation(Plugin):
    """Nobody grants what they do not hold."""

    name = "RBACEscalation"

    def __init__(self, needs: Needs) -> None:
        super().__init__(needs)
        self._escalation = Escalation(needs.policy, needs.authorize, needs.registry)
        self._on = "RBAC" in needs.settings.authorization_mode

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return self._on and kind.group == rbac.GROUP and operation in ("CREATE", "UPDATE")

    def validate(self, admission: Admission) -> None:
        self._escalation(admission)


class PolicyParameters(Plugin):
    """Who makes a policy's parameters count may read them."""

    name = "PolicyParametersAuthorization"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return (
            kind in (*policies.POLICIES, *policies.BINDINGS) and not subresource and operation in ("CREATE", "UPDATE")
        )

    def validate(self, admission: Admission) -> None:
        policies.check_parameters(self.registry, self.needs.authorize, admission)


class DeviceAccess(Plugin):
    """Administrators' access to devices, and the parts of a claim's status."""

    name = "ResourceClaimAuthorization"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        made = kind in (RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE) and not subresource and operation == "CREATE"
        return made or (kind == RESOURCE_CLAIM and subresource == "status" and operation == "UPDATE")

    def validate(self, admission: Admission) -> None:
        if admission.operation == "CREATE":
            devices.check_spec(self.registry, admission)
        else:
            devices.check_status(self.registry, self.needs.authorize, admission)

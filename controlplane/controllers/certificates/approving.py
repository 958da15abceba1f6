"""Approves kubelets' client certificates for whoever may have them, and where the settings say so nodes' own serving
certificates, which upstream leaves to a person.
"""

from __future__ import annotations

import contextlib
import logging

from apimachinery import errors, signing
from apimachinery.client import Client
from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST, NODE, SUBJECT_ACCESS_REVIEW
from apimachinery.objects import Obj
from controlplane.controllers.certificates import plan
from controlplane.controllers.certificates.loop import RequestLoop, request_of
from controlplane.controllers.context import Context, synced

log = logging.getLogger(__name__)


class ApprovingController(RequestLoop):
    """The loop."""

    async def handle(self, csr: Obj) -> None:
        """Approve what its author may have unasked."""
        tried = plan.permissions(csr, signing.requested(request_of(csr)))
        for permission in tried:
            if await self._may(csr["spec"], permission.subresource):
                await approve(self.client, csr, permission.message)
                return
        if tried:
            log.info("%s waits for an approval: its author may not have it unasked", csr["metadata"]["name"])

    async def _may(self, spec: Obj, subresource: str) -> bool:
        wanted = {"group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create"}
        who = {"user": spec.get("username"), "uid": spec.get("uid"), "groups": spec.get("groups")}
        review: Obj = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {k: v for k, v in {**who, "extra": spec.get("extra")}.items() if v}
            | {"resourceAttributes": {**wanted, "version": "*", "subresource": subresource}},
        }
        answer = await self.client.create(SUBJECT_ACCESS_REVIEW, review)
        return bool((answer.get("status") or {}).get("allowed"))


class ServingApprovingController(RequestLoop):
    """The loop; it rests unless it is wanted."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._wanted = context.settings.approve_kubelet_serving
        self._nodes = context.informers.of(NODE)

    async def run(self) -> None:
        if self._wanted:
            await synced(self._nodes)
            await super().run()

    async def handle(self, csr: Obj) -> None:
        """Approve what a node asks for itself."""
        if csr["spec"].get("signerName") != plan.KUBELET_SERVING or plan.kinds_of(csr):
            return
        problem = plan.claims_of_serving(csr, signing.requested(request_of(csr)), self._nodes.items())
        if problem:
            log.warning("%s waits for a person's approval: %s", csr["metadata"]["name"], problem)
        else:
            await approve(
                self.client, csr, "Auto approving a node's serving certificate for its own name and addresses."
            )


async def approve(client: Client, csr: Obj, message: str) -> None:
    """Say yes; a request that is gone meanwhile needs no answer."""
    status = csr.get("status") or {}
    verdict = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}
    told = {**status, "conditions": [*(status.get("conditions") or ()), verdict]}
    with contextlib.suppress(errors.NotFound):
        await client.update(CERTIFICATE_SIGNING_REQUEST, {**csr, "status": told}, subresource="approval")

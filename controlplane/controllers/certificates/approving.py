"""Approves kubelets' client certificates for whoever may have them."""

from __future__ import annotations

import contextlib
import logging

from apimachinery import errors, signing
from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST, SUBJECT_ACCESS_REVIEW
from apimachinery.objects import Obj
from controlplane.controllers.certificates import plan
from controlplane.controllers.certificates.loop import RequestLoop, request_of

log = logging.getLogger(__name__)


class ApprovingController(RequestLoop):
    """The loop."""

    async def handle(self, csr: Obj) -> None:
        """Approve what its author may have unasked."""
        tried = plan.permissions(csr, signing.requested(request_of(csr)))
        for permission in tried:
            if await self._may(csr["spec"], permission.subresource):
                await self._approve(csr, permission.message)
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

    async def _approve(self, csr: Obj, message: str) -> None:
        status = csr.get("status") or {}
        verdict = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}
        told = {**status, "conditions": [*(status.get("conditions") or ()), verdict]}
        with contextlib.suppress(errors.NotFound):
            await self.client.update(CERTIFICATE_SIGNING_REQUEST, {**csr, "status": told}, subresource="approval")

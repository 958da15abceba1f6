"""Admission of certificate signing requests: who asked is written by the server, who approves must be allowed to.

Upstream's CertificateApproval and CertificateSigning plugins and the strategy that records the requester.
"""

from __future__ import annotations

import base64

from apimachinery import errors, pki
from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST
from controlplane.apiserver.authn import user as identity
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.request import Attributes
from controlplane.apiserver.seam import Admission

_CLIENT_SIGNER, _MASTERS = "kubernetes.io/kube-apiserver-client", "system:masters"
REQUESTER = ("username", "uid", "groups", "extra")


async def record_requester(step: Admission) -> None:
    """A new request says who made it, whatever its body says; nobody changes that afterwards."""
    if step.kind is not CERTIFICATE_SIGNING_REQUEST or step.obj is None:
        return
    source = identity.info(step.user) if step.old is None else step.old.get("spec") or {}
    # The spec may be the stored one: it is replaced, not changed.
    spec = {key: value for key, value in (step.obj.get("spec") or {}).items() if key not in REQUESTER}
    step.obj["spec"] = {**spec, **{key: source[key] for key in REQUESTER if source.get(key)}}


async def restrict_subject(step: Admission) -> None:
    """CertificateSubjectRestriction: nobody becomes a cluster administrator by a certificate. Raises Forbidden."""
    if step.kind is not CERTIFICATE_SIGNING_REQUEST or step.operation != "CREATE" or step.obj is None:
        return
    spec = step.obj["spec"]
    if spec.get("signerName") != _CLIENT_SIGNER:
        return
    asked = pki.requested(base64.b64decode(spec.get("request") or ""))
    if _MASTERS in asked.groups:
        text = f"use of {_CLIENT_SIGNER} signer with {_MASTERS} group is not allowed"
        raise errors.forbidden(step.kind.plural, step.name, text, step.kind.group)


class Signing:
    """Approving and signing need the verb of that name on the request's signer."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def __call__(self, step: Admission) -> None:
        if step.kind is not CERTIFICATE_SIGNING_REQUEST or step.operation != "UPDATE" or step.old is None:
            return
        signer = step.old["spec"].get("signerName", "")
        if step.subresource == "approval":
            self._need(step, "approve", signer)
        elif step.subresource == "status":
            old, new = (((o or {}).get("status") or {}).get("certificate") for o in (step.old, step.obj))
            if old != new:
                self._need(step, "sign", signer)

    def _need(self, step: Admission, verb: str, signer: str) -> None:
        domain = signer.partition("/")[0]
        for name in (signer, f"{domain}/*"):
            wanted = Attributes(verb=verb, group=step.kind.group, version="*", resource="signers", name=name)
            if self._chain.decide(step.user, wanted).allowed:
                return
        text = f'user not permitted to {verb} requests with signerName "{signer}"'
        raise errors.forbidden(step.kind.plural, step.name, text, step.kind.group)

"""Admission of certificate signing requests: who asked is written by the server, who approves must be allowed to.

Upstream's CertificateApproval and CertificateSigning plugins and the strategy that records the requester.
"""

from __future__ import annotations

from apimachinery import errors
from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST
from controlplane.apiserver.authn import user as identity
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.request import Attributes
from controlplane.apiserver.seam import Admission

REQUESTER = ("username", "uid", "groups", "extra")


async def record_requester(step: Admission) -> None:
    """A new request says who made it, whatever its body says; nobody changes that afterwards."""
    if step.kind is not CERTIFICATE_SIGNING_REQUEST or step.obj is None:
        return
    spec = step.obj.setdefault("spec", {})
    source = identity.info(step.user) if step.old is None else step.old.get("spec") or {}
    for key in REQUESTER:
        spec.pop(key, None)
        if source.get(key):
            spec[key] = source[key]


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

"""Admission of certificate signing requests: who asked is written by the server, who approves must be allowed to.

Upstream's CertificateApproval and CertificateSigning plugins and the strategy that records the requester.
"""

from __future__ import annotations

import base64

from apimachinery import errors, signing
from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.authn import user as identity
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.request import Attributes

_CLIENT_SIGNER, _MASTERS = "kubernetes.io/kube-apiserver-client", "system:masters"
REQUESTER = ("username", "uid", "groups", "extra")


def record_requester(step: Admission) -> None:
    """A new request says who made it, whatever its body says; nobody changes that afterwards."""
    if step.kind is not CERTIFICATE_SIGNING_REQUEST or step.obj is None:
        return
    source = identity.info(step.user) if step.old is None else step.old.get("spec") or {}
    # The spec may be the stored one: it is replaced, not changed.
    spec = {key: value for key, value in (step.obj.get("spec") or {}).items() if key not in REQUESTER}
    step.obj["spec"] = {**spec, **{key: source[key] for key in REQUESTER if source.get(key)}}


def restrict_subject(step: Admission) -> None:
    """CertificateSubjectRestriction: nobody becomes a cluster administrator by a certificate. Raises Forbidden."""
    if step.kind is not CERTIFICATE_SIGNING_REQUEST or step.operation != "CREATE" or step.obj is None:
        return
    spec = step.obj["spec"]
    if spec.get("signerName") != _CLIENT_SIGNER:
        return
    asked = signing.requested(base64.b64decode(spec.get("request") or ""))
    if _MASTERS in asked.groups:
        text = f"use of {_CLIENT_SIGNER} signer with {_MASTERS} group is not allowed"
        raise errors.forbidden(step.kind.plural, step.name, text, step.kind.group)


def check_approval(chain: Chain, step: Admission) -> None:
    """CertificateApproval: approving needs the verb of that name on the request's signer. Raises Forbidden."""
    _need(chain, step, "approve")


def check_signing(chain: Chain, step: Admission) -> None:
    """CertificateSigning: a certificate or conditions in the status need the verb `sign` on the request's signer.

    Raises Forbidden.
    """
    old, new = ((o or {}).get("status") or {} for o in (step.old, step.obj))
    if any((old.get(part) or None) != (new.get(part) or None) for part in ("certificate", "conditions")):
        _need(chain, step, "sign")


def _need(chain: Chain, step: Admission, verb: str) -> None:
    signer = (step.old or {})["spec"].get("signerName", "")
    domain = signer.partition("/")[0]
    for name in (signer, f"{domain}/*"):
        wanted = Attributes(verb=verb, group=step.kind.group, version="*", resource="signers", name=name)
        if chain.decide(step.user, wanted).allowed:
            return
    text = f'user not permitted to {verb} requests with signerName "{signer}"'
    raise errors.forbidden(step.kind.plural, step.name, text, step.kind.group)

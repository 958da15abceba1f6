"""What the server makes of signing requests."""

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery import errors, kinds
from apimachinery.client import Client
from controlplane.apiserver.strategies import certificates as strategy
from tests.controlplane.apiserver.server import run

Obj = dict[str, Any]


def pem(user: str = "u", group: str = "") -> str:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group:
        names.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def request(status: Obj | None = None, **spec: Any) -> Obj:
    spec = {"request": pem(), "signerName": "a.b/c", "usages": ["client auth"], **spec}
    return {"metadata": {"name": "r"}, "spec": spec, "status": status or {}}


def verdict(*types: str, **more: Any) -> Obj:
    return {"conditions": [{"type": kind, "status": "True"} for kind in types], **more}


def test_conditions_get_their_times() -> None:
    old = request({"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]})
    new = request(verdict("Failed", "Approved"))
    strategy.date_conditions(new, old)
    failed, approved = new["status"]["conditions"]
    assert failed["lastTransitionTime"] == "2020-01-01T00:00:00Z" < failed["lastUpdateTime"]
    assert approved["lastTransitionTime"] == approved["lastUpdateTime"]


def test_a_request_names_its_author_and_makes_no_masters(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        csr = kinds.CERTIFICATE_SIGNING_REQUEST
        signer = "kubernetes.io/kube-apiserver-client"
        made = await client.create(csr, request(signerName=signer, username="somebody-else"))
        assert made["spec"]["username"] == "admin"
        failed = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "r"}]}}
        told = await client.patch(csr, "r", failed, subresource="status")
        assert told["spec"] == made["spec"] and told["status"]["conditions"][0]["lastUpdateTime"]
        assert (await client.get(csr, "r"))["spec"]["username"] == "admin"
        masters = request(signerName=signer, request=pem(group="system:masters"))
        with pytest.raises(errors.Forbidden, match="system:masters group is not allowed"):
            await client.create(csr, {**masters, "metadata": {"name": "m"}})

    run(tmp_path, test)

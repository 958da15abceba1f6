"""Signing requests against the real API server: asked for, approved, issued, and believed."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from apimachinery import pki
from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST
from apimachinery.objects import Obj
from tests.controlplane.apiserver.test_signing_requests import pem
from tests.controlplane.stage import Stage
from tests.controlplane.test_loops import play

KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"
APPROVED = {"type": "Approved", "status": "True", "reason": "test", "message": "by hand"}


def csr(name: str, signer: str, user: str, group: str, *usages: str) -> Obj:
    spec = {"request": pem(user, group), "signerName": signer, "usages": list(usages), "expirationSeconds": 3600}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": spec,
    }


async def approve(at: Stage, made: Obj) -> None:
    told = {**made, "status": {"conditions": [APPROVED]}}
    await at.client.update(CERTIFICATE_SIGNING_REQUEST, told, subresource="approval")


async def status(at: Stage, name: str) -> Obj:
    found: Obj = (await at.client.get(CERTIFICATE_SIGNING_REQUEST, name)).get("status") or {}
    return found


async def certificate(at: Stage, name: str) -> bytes:
    async def issued() -> str:
        return str((await status(at, name)).get("certificate") or "")

    return base64.b64decode(await at.until(issued))


def test_what_is_approved_is_issued(tmp_path: Path) -> None:
    ca = pki.new_ca("authority")
    (tmp_path / "ca.crt").write_bytes(ca.cert_pem)
    (tmp_path / "ca.key").write_bytes(ca.key_pem)

    async def scenario(at: Stage) -> None:
        create = at.client.create
        jane = await create(
            CERTIFICATE_SIGNING_REQUEST,
            csr("jane", "kubernetes.io/kube-apiserver-client", "jane", "team", "client auth"),
        )
        wrong = await create(
            CERTIFICATE_SIGNING_REQUEST, csr("wrong", "kubernetes.io/kubelet-serving", "jane", "team", "server auth")
        )
        other = await create(
            CERTIFICATE_SIGNING_REQUEST, csr("other", "example.com/own", "jane", "team", "client auth")
        )
        for made in (jane, wrong, other):
            await approve(at, made)
        assert pki.identity(await certificate(at, "jane")) == pki.Identity("jane", ("team",))

        async def failed() -> Any:
            return [c for c in (await status(at, "wrong")).get("conditions") or () if c["type"] == "Failed"]

        (told,) = await at.until(failed)
        assert (told["reason"], told["message"]) == (
            "SignerValidationFailure",
            "subject organization is not system:nodes",
        )
        assert "certificate" not in await status(at, "other")
        usages = ("digital signature", "client auth")
        await create(CERTIFICATE_SIGNING_REQUEST, csr("node", KUBELET, "system:node:a", "system:nodes", *usages))
        # The stage's administrator may everything, also that for a kubelet.
        assert pki.identity(await certificate(at, "node")).user == "system:node:a"
        (verdict,) = (await status(at, "node"))["conditions"]
        assert verdict["reason"] == "AutoApproved"

    files: dict[str, Any] = {
        "cluster_signing_cert_file": tmp_path / "ca.crt",
        "cluster_signing_key_file": tmp_path / "ca.key",
    }
    play(tmp_path, scenario, nodes=0, **files)

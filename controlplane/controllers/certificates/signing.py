"""Signs what was approved for one of the built-in signers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from datetime import timedelta

from apimachinery import errors, pki, signing
from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now
from controlplane.controllers.certificates import plan
from controlplane.controllers.certificates.loop import RequestLoop, request_of


class SigningController(RequestLoop):
    """The loop; it rests where no authority was given."""

    async def run(self) -> None:
        settings = self.context.settings
        if settings.cluster_signing_cert_file is not None and settings.cluster_signing_key_file is not None:
            await super().run()

    async def handle(self, csr: Obj) -> None:
        """Issue its certificate, or say why there will be none."""
        if not plan.to_sign(csr):
            return
        status = dict(csr.get("status") or {})
        request = request_of(csr)
        if wrong := plan.complaint(csr, signing.requested(request)):
            failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": wrong}
            failed["lastUpdateTime"] = format_time(now())
            status["conditions"] = [*(status.get("conditions") or ()), failed]
        else:
            life = plan.life(csr, timedelta(seconds=self.context.settings.cluster_signing_duration))
            made = signing.sign(await self._authority(csr), request, csr["spec"].get("usages") or (), life, now())
            status["certificate"] = base64.b64encode(made).decode()
        with contextlib.suppress(errors.NotFound):
            await self.client.update(CERTIFICATE_SIGNING_REQUEST, {**csr, "status": status}, subresource="status")

    async def _authority(self, csr: Obj) -> pki.KeyPair:
        """Read each time: it may have been renewed."""
        settings = self.context.settings
        certificate, key = settings.cluster_signing_cert_file, settings.cluster_signing_key_file
        if csr["spec"].get("signerName") == plan.KUBELET_SERVING and settings.kubelet_serving_cert_file is not None:
            certificate, key = settings.kubelet_serving_cert_file, settings.kubelet_serving_key_file
        assert certificate is not None and key is not None
        return pki.KeyPair(await asyncio.to_thread(certificate.read_bytes), await asyncio.to_thread(key.read_bytes))

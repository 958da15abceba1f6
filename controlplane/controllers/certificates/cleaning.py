"""Removes signing requests that are of no use any more."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from datetime import datetime

from apimachinery import errors, pki
from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST
from apimachinery.objects import Obj, name, uid
from apimachinery.timestamps import now
from controlplane.controllers.certificates import plan
from controlplane.controllers.context import Context, synced

log = logging.getLogger(__name__)

PERIOD = 3600.0


class CleaningController:
    """The loop, once an hour."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._requests = context.informers.of(CERTIFICATE_SIGNING_REQUEST)

    async def run(self) -> None:
        await synced(self._requests)
        while True:
            for csr in self._requests.items():
                if plan.is_over(csr, _end(csr), now()):
                    await self._remove(csr)
            await asyncio.sleep(PERIOD)

    async def _remove(self, csr: Obj) -> None:
        log.info("removing the signing request %s, which is of no use any more", name(csr))
        try:
            with contextlib.suppress(errors.NotFound, errors.Conflict):
                await self._client.delete(CERTIFICATE_SIGNING_REQUEST, name(csr), uid=uid(csr))
        except (errors.ApiError, errors.Unreachable) as error:
            log.warning("signing request %s not removed: %s", name(csr), error)


def _end(csr: Obj) -> datetime | None:
    try:
        return pki.expires(base64.b64decode(plan.certificate_of(csr)))
    except ValueError:
        return None

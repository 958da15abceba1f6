"""A loop over signing requests: each is looked at whenever it changed."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod

from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST
from apimachinery.objects import Obj, name
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced


def request_of(csr: Obj) -> bytes:
    """The PEM that was sent; the API server let only base64 in."""
    return base64.b64decode(csr["spec"].get("request") or "")


class RequestLoop(ABC):
    """Subclasses say what to do with one request."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client
        self.requests = context.informers.of(CERTIFICATE_SIGNING_REQUEST)
        self._queue: WorkQueue[str] = WorkQueue("certificates", backoff_max=60.0)
        self.requests.add_handler(lambda _old, new: self._queue.add(name(new)) if new is not None else None)

    async def run(self) -> None:
        await synced(self.requests)
        await self._queue.run_workers(self.context.settings.workers, self._sync)

    @abstractmethod
    async def handle(self, csr: Obj) -> None:
        """Look at one request. Raises what a request raises: it comes back."""

    async def _sync(self, item: str) -> None:
        csr = self.requests.get(item)
        if csr is not None:
            await self.handle(csr)

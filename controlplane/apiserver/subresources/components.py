"""componentstatuses: whether store, scheduler and controllers are well. Deprecated since v1.19, yet still asked for.

The latter two are asked where upstream's answer, on this machine; what is not there is Unhealthy, as upstream has it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import COMPONENT_STATUS
from apimachinery.objects import Obj
from controlplane.apiserver import listing
from controlplane.apiserver.cache.select import Selection
from controlplane.apiserver.request import Answer, Request
from controlplane.apiserver.streams import backend

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

STORE = "etcd-0"
PORTS = {"controller-manager": 10257, "scheduler": 10259}
PROBE_SECONDS = 5.0
_KIND = {"kind": COMPONENT_STATUS.kind, "apiVersion": COMPONENT_STATUS.api_version}


class Components:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        # A certificate that such a daemon made for itself is nobody's to judge.
        self._tls = backend.client_context(None, None, None)

    async def get(self, request: Request) -> Answer:
        return Answer(200, await self._status(request.name), COMPONENT_STATUS)

    async def list(self, request: Request) -> Answer:
        selection = await listing.selection(request)
        names = [name for name in (*PORTS, STORE) if _selected(name, selection)]
        items = await asyncio.gather(*map(self._status, names))
        kind = {"kind": "ComponentStatusList", "apiVersion": COMPONENT_STATUS.api_version}
        return Answer(200, {**kind, "metadata": {}, "items": items}, COMPONENT_STATUS)

    async def _status(self, name: str) -> Obj:
        """Raises NotFound."""
        if name == STORE:
            trouble = self._registry.trouble
            return _component(name, not trouble, message=trouble or "ok")
        if name not in PORTS:
            raise errors.not_found("componentstatus", name)
        url = f"https://127.0.0.1:{PORTS[name]}/healthz"
        try:
            status, text = await asyncio.wait_for(self._probe(PORTS[name]), PROBE_SECONDS)
        except asyncio.TimeoutError:
            return _component(name, False, message=f'Get "{url}": context deadline exceeded')
        except errors.ApiError as error:
            why = error.message.removeprefix("error dialing backend: ")
            return _component(name, False, message=f'Get "{url}": {why}')
        return _component(name, status == 200, message=text if status == 200 else f"HTTP probe failed: {status} {text}")

    async def _probe(self, port: int) -> tuple[int, str]:
        address = backend.Address("127.0.0.1", port, self._tls)
        answer = await backend.call(address, "GET", "/healthz", [("Connection", "close")])
        return answer.head.status, await answer.text(limit=1000)


def _selected(name: str, wanted: Selection) -> bool:
    obj = {"metadata": {"name": name}}
    labelled = wanted.labels is None or wanted.labels.matches({})
    return labelled and wanted.name in ("", name) and wanted.fits(obj)


def _component(name: str, well: bool, message: str) -> Obj:
    condition = {"type": "Healthy", "status": "True" if well else "False", "message": message}
    return {**_KIND, "metadata": {"name": name}, "conditions": [condition]}

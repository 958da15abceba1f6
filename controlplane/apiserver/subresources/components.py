"""componentstatuses, as far as this server knows: its own store. Deprecated since v1.19, yet still asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apimachinery import errors
from apimachinery.kinds import COMPONENT_STATUS
from apimachinery.objects import Obj
from controlplane.apiserver.request import Answer, Request

if TYPE_CHECKING:
    from controlplane.apiserver.registry import Registry

STORE = "etcd-0"


class Components:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def get(self, request: Request) -> Answer:
        if request.name != STORE:
            raise errors.not_found("componentstatus", request.name)
        return Answer(200, self._store(), COMPONENT_STATUS)

    async def list(self, request: Request) -> Answer:
        kind = {"kind": "ComponentStatusList", "apiVersion": COMPONENT_STATUS.api_version}
        return Answer(200, {**kind, "metadata": {}, "items": [self._store()]}, COMPONENT_STATUS)

    def _store(self) -> Obj:
        trouble = self._registry.trouble
        found = {"type": "Healthy", "status": "False" if trouble else "True", "message": trouble or "ok"}
        kind = {"kind": COMPONENT_STATUS.kind, "apiVersion": COMPONENT_STATUS.api_version}
        return {**kind, "metadata": {"name": STORE}, "conditions": [found]}

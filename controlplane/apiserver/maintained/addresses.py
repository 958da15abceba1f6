"""An IPAddress for each cluster IP that a Service has (KEP-1880).

The Services are the truth, and allocation is over by the time one is stored: the IPAddress shows who has an address.
What others make of addresses (an IPAddress without our label) is theirs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from apimachinery import errors
from apimachinery.kinds import IP_ADDRESS, SERVICE
from apimachinery.objects import Obj
from apimachinery.workqueue import WorkQueue
from controlplane.apiserver.maintained.keeping import SELF
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.strategies.services import MANAGED_BY, OURS

FAMILY = "ipaddress.kubernetes.io/ip-family"


def is_ours(address: Obj) -> bool:
    return bool((address["metadata"].get("labels") or {}).get(MANAGED_BY) == OURS)


def wanted(address: str, holder: tuple[str, str]) -> Obj:
    """The IPAddress of an address that a Service (namespace, name) has."""
    family = "IPv6" if ":" in address else "IPv4"
    space, name = holder
    return {
        "kind": IP_ADDRESS.kind,
        "apiVersion": IP_ADDRESS.api_version,
        "metadata": {"name": address, "labels": {FAMILY: family, MANAGED_BY: OURS}},
        "spec": {"parentRef": {"resource": SERVICE.plural, "namespace": space, "name": name}},
    }


def cluster_ips(service: Obj | None) -> Mapping[str, tuple[str, str]]:
    """Address -> the Service that has it."""
    if service is None:
        return {}
    metadata = service["metadata"]
    holder = (metadata.get("namespace", ""), metadata["name"])
    found = (service.get("spec") or {}).get("clusterIPs") or ()
    return {address: holder for address in found if address not in ("", "None")}


class Addresses:
    """Makes, mends and removes the IPAddresses."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._holders: dict[str, tuple[str, str]] = {}
        self._queue: WorkQueue[str] = WorkQueue("ip-addresses", backoff_max=60.0)

    async def run(self) -> None:
        self._registry.subscribe(SERVICE, self._service_changed)
        self._registry.subscribe(IP_ADDRESS, self._address_changed)
        await self._queue.run_workers(1, self._sync)

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        before, after = cluster_ips(old), cluster_ips(new)
        if before == after:
            return
        for address, holder in before.items():
            if self._holders.get(address) == holder:
                del self._holders[address]
        self._holders.update(after)
        for address in (*before, *after):
            self._queue.add(address)

    def _address_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._queue.add((new or old or {})["metadata"]["name"])

    async def _sync(self, address: str) -> None:
        holder, found = self._holders.get(address), self._registry.find(IP_ADDRESS, "", address)
        right = wanted(address, holder) if holder is not None else None
        if found is not None and is_ours(found) and (right is None or found["spec"] != right["spec"]):
            # Whose an address is cannot change in place.
            with contextlib.suppress(errors.NotFound):
                await self._registry.delete(IP_ADDRESS, "", address, user=SELF, options={})
            found = None
        if right is not None and found is None:
            with contextlib.suppress(errors.AlreadyExists):
                await self._registry.create(IP_ADDRESS, right, user=SELF)

"""Says that a range of cluster IPs may be used, and lets it go once no address in it would be left without a range."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from apimachinery import errors
from apimachinery.conditions import dated, placed
from apimachinery.kinds import IP_ADDRESS, SERVICE_CIDR
from apimachinery.objects import Obj, condition, is_deleting, labels, name
from apimachinery.timestamps import format_time, now, parse_time
from apimachinery.workqueue import WorkQueue
from controlplane.controllers import names
from controlplane.controllers.context import Context, synced

# How long after its deletion a range stays though nothing needs it: what was given out of it just then has an
# IPAddress by the end of that time.
GRACE_SECONDS = 10.0
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Range:
    """A ServiceCIDR as far as this loop decides on it."""

    name: str
    networks: tuple[Network, ...]
    guarded: bool = False
    deleted: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """`guard` is whether the finalizer is to be there, `reason` and `message` are the condition's (True without a
    reason), None for one that stays as it is; look again after `wait` seconds.
    """

    guard: bool
    condition: tuple[str, str] | None = None
    wait: float = 0.0


def view(obj: Obj) -> Range:
    deleted = obj["metadata"].get("deletionTimestamp")
    return Range(
        name(obj),
        tuple(ip_network(text) for text in (obj.get("spec") or {}).get("cidrs") or ()),
        names.SERVICE_RANGE_FINALIZER in (obj["metadata"].get("finalizers") or ()),
        parse_time(deleted) if deleted else None,
    )


def judge(this: Range, ranges: Sequence[Range], addresses: Iterable[str], at: datetime) -> Verdict:
    """What is to be done with one of the ranges; `addresses` are those that Services have."""
    if this.deleted is None:
        return Verdict(True, ("", "Kubernetes Service CIDR is ready"))
    if not this.guarded:
        return Verdict(False)
    others = [network for other in ranges if other.name != this.name for network in other.networks]
    contained = all(any(_within(network, other) for other in others) for network in this.networks)
    if not contained and any(_only(address, this.networks, others) for address in addresses):
        text = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
        return Verdict(True, ("Terminating", text))
    left = GRACE_SECONDS - (at - this.deleted).total_seconds()
    return Verdict(True, wait=left) if left > 0 else Verdict(False)


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _only(text: str, own: Iterable[Network], others: Iterable[Network]) -> bool:
    """Whether an address lies in one of `own` and in none of the others."""
    address = ip_address(text)
    return any(address in network for network in own) and not any(address in network for network in others)


def conditioned(obj: Obj, wanted: tuple[str, str], at: datetime) -> Obj:
    """The object with its Ready condition; the same object where it says so already."""
    reason, message = wanted
    status = "False" if reason else "True"
    found = (obj.get("status") or {}).get("conditions") or []
    before = condition(obj, "Ready") or {}
    if (before.get("status"), before.get("reason") or "", before.get("message")) == (status, reason, message):
        return obj
    ready = dated(found, {"type": "Ready", "status": status, "reason": reason, "message": message}, format_time(at))
    return {**obj, "status": {**(obj.get("status") or {}), "conditions": placed(found, ready)}}


class ServiceRangeController:
    """The loop."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._ranges = context.informers.of(SERVICE_CIDR)
        self._addresses = context.informers.of(IP_ADDRESS)
        self._queue: WorkQueue[str] = WorkQueue("service-cidrs", backoff_max=60.0)
        self._ranges.add_handler(self._on_range)
        self._addresses.add_handler(self._on_address)

    async def run(self) -> None:
        await synced(self._ranges, self._addresses)
        await self._queue.run_workers(1, self._sync)

    def _on_range(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._queue.add(name(new))
        self._look_at_the_leaving()

    def _on_address(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            self._look_at_the_leaving()

    def _look_at_the_leaving(self) -> None:
        """Whatever comes or goes can be what a range on its way out waits for."""
        for obj in self._ranges.items():
            if is_deleting(obj):
                self._queue.add(name(obj))

    async def _sync(self, wanted: str) -> None:
        obj = self._ranges.get(wanted)
        if obj is None:
            return
        ours = [name(a) for a in self._addresses.items() if labels(a).get(names.ADDRESS_MANAGED_BY) == names.ALLOCATOR]
        verdict = judge(view(obj), [view(other) for other in self._ranges.items()], ours, now())
        finalizers = [f for f in obj["metadata"].get("finalizers") or () if f != names.SERVICE_RANGE_FINALIZER]
        if verdict.guard:
            finalizers.append(names.SERVICE_RANGE_FINALIZER)
        try:
            if sorted(finalizers) != sorted(obj["metadata"].get("finalizers") or ()):
                metadata = {**obj["metadata"], "finalizers": finalizers}
                obj = await self._client.update(SERVICE_CIDR, {**obj, "metadata": metadata})
            if verdict.condition is not None and (told := conditioned(obj, verdict.condition, now())) is not obj:
                await self._client.update(SERVICE_CIDR, told, subresource="status")
        except errors.NotFound:
            return
        if verdict.wait:
            self._queue.add_after(wanted, verdict.wait)

"""DynamicResources: a pod's ResourceClaims get devices where the pod goes (dynamic resource allocation, KEP-4381)."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from apimachinery.client import Client
from apimachinery.duration import seconds
from apimachinery.kinds import RESOURCE_CLAIM
from apimachinery.objects import Obj, key
from apimachinery.pods.placement import NodeTerm
from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.devices import readiness, results, wishes
from controlplane.scheduler.devices.holdings import Devices
from controlplane.scheduler.devices.pools import Pool
from controlplane.scheduler.devices.search import Endless, Impossible, Pick, Search
from controlplane.scheduler.devices.selectors import matches
from controlplane.scheduler.devices.standing import Wanted, allocation_of, sort_out, unusable
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import SKIP, Found, Plugin, Profile, Query, Refusing, Rejection
from controlplane.scheduler.nodeinfo import NodeInfo
from controlplane.scheduler.plugins.scaling import scale
from controlplane.scheduler.refused import Refused

UNAVAILABLE = Rejection("resourceclaim not available on the node", unresolvable=True)
LACKING = Rejection("cannot allocate all claims", unresolvable=True)
INVALID = Rejection("invalid resource pools were encountered", unresolvable=True)
# A search for devices waits for nothing, so what upstream gives time for is here a number of devices that are tried.
TRIES_A_SECOND = 5_000


@dataclass(frozen=True)
class DynamicResourcesArgs:
    """Arguments of the plugin. Raises ValueError, naming the field."""

    filter_timeout: str = "10s"
    """What the search on one node may cost, TRIES_A_SECOND devices for each second; 0s: as much as there is to try."""
    binding_timeout: str = "600s"
    """What drivers get to make the devices of one pod ready that have to be before it is bound."""

    def __post_init__(self) -> None:
        if seconds(self.filter_timeout) < 0:
            raise ValueError(f"filterTimeout: {self.filter_timeout}: must be zero or positive")
        if seconds(self.binding_timeout) < 1:
            raise ValueError(f"bindingTimeout: {self.binding_timeout}: must be at least 1 second")


class DynamicResources(Plugin):
    """`devices` is asked by `filter` and told by `reserve`; the decision itself is `Search`."""

    name = "DynamicResources"
    helped_by = frozenset(
        (Change.NODE_ADDED, Change.NODE_LABELS, Change.NODE_ALLOCATABLE, Change.RESOURCE_CLAIM, Change.RESOURCE_SLICE,
         Change.DEVICE_CLASS, Change.POD_REMOVED)
    )  # fmt: skip

    def __init__(self, devices: Devices, args: DynamicResourcesArgs | None = None) -> None:
        self._devices, chosen = devices, args or DynamicResourcesArgs()
        self._tries = round(seconds(chosen.filter_timeout) * TRIES_A_SECOND) or sys.maxsize
        self._timeout = seconds(chosen.binding_timeout)

    def pre_enqueue(self, pod: Pod) -> str | None:
        return unusable(pod, self._devices) or None

    def may_help(self, pod: Pod, event: Event) -> bool:
        """A claim of the pod's own; what gives devices back; what else makes more of them, or names them."""
        was, now = event.was, event.now
        if event.change is Change.POD_REMOVED:
            # One that did not get to its node gives back what it was promised.
            return event.old is not None and bool(event.old.devices)
        if event.node is not None or event.change is not Change.RESOURCE_CLAIM:
            return event.node is not None or now is not None
        if now is None or unusable(pod, self._devices):
            return False
        if was is not None and allocation_of(was) and not allocation_of(now):
            return True
        if key(now) not in [f"{pod.namespace}/{use.claim}" for use in pod.devices]:
            return False
        return was is None or was.get("status") != now.get("status")

    def pre_filter(self, pod: Pod, query: Query) -> Any:
        if not pod.devices:
            return SKIP
        wanted = sort_out(pod, self._devices)
        return Rejection(wanted, unresolvable=True) if isinstance(wanted, str) else wanted

    def filter(self, state: Any, pod: Pod, info: NodeInfo) -> Rejection | None:
        wanted: Wanted = state
        unavailable = any(self._is_lost(claim, terms, info) for claim, terms in wanted.allocated)
        found = self._choose(wanted, info) if wanted.waiting else []
        if isinstance(found, Rejection):
            return found
        return UNAVAILABLE if unavailable else None

    def post_filter(self, pod: Pod, profile: Profile, query: Query, decision: Refusing) -> Found | None:
        """Devices that are of no use to the pod are given back where nobody else uses them, so that it gets others."""
        wanted = sort_out(pod, self._devices) if pod.devices else None
        if not isinstance(wanted, Wanted):
            return None
        for claim, terms in wanted.allocated:
            users = (claim.get("status") or {}).get("reservedFor") or ()
            refusing = (n for n, rejection in decision.rejections.items() if rejection is UNAVAILABLE)
            nodes = [query.cluster.nodes[n] for n in refusing if n in query.cluster.nodes]
            lost = any(self._is_lost(claim, terms, info) for info in nodes)
            if lost and all(who.get("uid") == pod.uid for who in users):
                return Found("deallocation of ResourceClaim completed", writes=(partial(_deallocate, claim),))
        return Found("still not schedulable")

    def judges(self, pod: Pod, query: Query) -> bool:
        return bool(self._prioritized(pod))

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        return self._prioritized(pod) or SKIP

    def score(self, state: Any, pod: Pod, info: NodeInfo) -> float:
        """The earlier the alternatives stand that would be taken, the better."""
        wanted: Wanted = state
        found = self._choose(wanted, info)
        new = [] if isinstance(found, Rejection) else self._results(wanted, found, info)
        has = [(wishes.view(claim), allocation_of(claim)) for claim, _ in wanted.allocated]
        return sum(results.score(wish, each) for wish, each in (*has, *zip(wanted.waiting, new, strict=False)))

    def normalize(self, state: Any, nodes: Sequence[NodeInfo], scores: Sequence[float]) -> Sequence[float]:
        return scale(scores)

    def reserve(self, pod: Pod, info: NodeInfo) -> None:
        wanted = sort_out(pod, self._devices) if pod.devices else None
        if not isinstance(wanted, Wanted) or not wanted.waiting:
            return
        found = self._choose(wanted, info)
        if isinstance(found, Rejection):
            raise Refused("claim allocation not found for node")
        chosen = self._results(wanted, found, info)
        self._devices.promise(pod.uid, {w.key: each for w, each in zip(wanted.waiting, chosen, strict=True)})

    def unreserve(self, pod: Pod, node: str) -> None:
        self._devices.release(pod.uid)

    async def retract(self, client: Client, pod: Pod, node: str) -> None:
        await self._devices.give_back(client, pod)

    async def pre_bind(self, client: Client, pod: Pod, node: str) -> None:
        await self._devices.bind(client, pod, self._timeout)

    def _prioritized(self, pod: Pod) -> Wanted | None:
        """The pod's claims, where any of them has alternatives."""
        wanted = sort_out(pod, self._devices) if pod.devices else None
        if not isinstance(wanted, Wanted):
            return None
        views = (*wanted.waiting, *(wishes.view(claim) for claim, _ in wanted.allocated))
        return wanted if any(wish.prioritized for wish in views) else None

    def _is_lost(self, claim: Obj, terms: tuple[NodeTerm, ...] | None, info: NodeInfo) -> bool:
        """Whether what a claim has is of no use on a node: not reached from there, or never made ready."""
        if terms is not None and not any(term.matches(info.node.name, info.node.labels) for term in terms):
            return True
        try:
            return not readiness.is_ready(claim) and self._devices.is_overdue(claim, self._timeout)
        except readiness.Failed:
            return True

    def _choose(self, wanted: Wanted, info: NodeInfo) -> list[list[Pick]] | Rejection:
        """Devices for the claims that wait, or why the node has none for them. Refused where no node can help."""
        pools = self._devices.published.reached(info.node.name, info.node.labels)
        search = Search(pools, wanted.classes, self._devices.taken, matches, self._tries)
        try:
            found = search.find(wanted.waiting)
        except (Impossible, Endless) as error:
            text = str(error) or f"node {info.node.name}: timed out trying to allocate devices"
            raise Refused(f'running "{self.name}" filter plugin: {text}') from error
        return found if found is not None else _why_not(pools)

    def _results(self, wanted: Wanted, found: list[list[Pick]], info: NodeInfo) -> list[Obj]:
        node = info.node.name
        return [
            results.allocation(wish, picks, wanted.classes, node, _shares())
            for wish, picks in zip(wanted.waiting, found, strict=True)
        ]


def _why_not(pools: Sequence[Pool]) -> Rejection:
    return INVALID if any(pool.invalid for pool in pools) else LACKING


def _shares() -> Iterator[str]:
    while True:
        yield str(uuid.uuid4())


async def _deallocate(claim: Obj, client: Client) -> None:
    gone = ("allocation", "reservedFor", "devices")
    status = {field: value for field, value in (claim.get("status") or {}).items() if field not in gone}
    await client.update(RESOURCE_CLAIM, {**claim, "status": status}, subresource="status")

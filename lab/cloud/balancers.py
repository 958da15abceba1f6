"""The lab's load balancers: an address each out of the pool, on one node that answers its health checks.

The node is asked every second at /healthz: at its proxy's port, or where only nodes with endpoints may take the traffic
(externalTrafficPolicy Local) at the Service's health check node port. Two bad answers, and another node takes over.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Mapping, Sequence

from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj, key, name
from controlplane.cloud.interface import CloudError, balancer_name
from lab import health
from lab.cloud import plan
from lab.cloud.announcer import Announcer
from lab.cloud.instances import described
from lab.cloud.memory import Memory
from lab.cloud.plan import Balancer, Health, NoAddress, Range
from lab.components import PROXY_HEALTH_PORT
from lab.paths import Paths
from lab.spec import Spec

log = logging.getLogger(__name__)

PERIOD = 1.0
CHECK_DEADLINE = 1.0
# A neighbour may miss an announcement, or hold on to what it learnt a second ago: it is told so often, once a period.
TOLD = 5


def pool_of(spec: Spec) -> tuple[Range, ...]:
    """The lab's addresses for load balancers."""
    return tuple(Range(ipaddress.ip_address(first), ipaddress.ip_address(last)) for first, last in spec.balancer_ranges)


class LabBalancers:
    """Implements `controlplane.cloud.interface.LoadBalancers`; `run` keeps the addresses announced."""

    def __init__(self, paths: Paths, announcer: Announcer, period: float = PERIOD) -> None:
        """`period`: seconds between two rounds of checks."""
        self._period = period
        self._paths = paths
        self._announcer = announcer
        self._memory = Memory(paths.balancers)
        # One at a time may choose addresses, or move them.
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._health: dict[tuple[str, int], Health] = {}
        self._telling: dict[tuple[str, str], int] = {}
        self._loaded = False

    async def get(self, service: Obj) -> Obj | None:
        async with self._turn:
            found = self._remembered().balancers.get(balancer_name(service))
        return None if found is None else _status(found)

    async def ensure(self, service: Obj, nodes: Sequence[Obj]) -> Obj:
        async with self._turn:
            memory, own = self._remembered(), balancer_name(service)
            before = memory.balancers.get(own)
            taken = {ip for each in memory.balancers.values() if each.name != own for ip in each.addresses}
            held = before.addresses if before else _shown(service)
            try:
                chosen = plan.addresses(service, pool_of(described(self._paths)), taken, held)
            except NoAddress as error:
                raise CloudError(str(error)) from error
            wanted = Balancer(own, key(service), chosen, _names(nodes), _check_port(service))
            self._keep(wanted)
            await self._settle()
        return _status(wanted)

    async def update(self, service: Obj, nodes: Sequence[Obj]) -> None:
        async with self._turn:
            before = self._remembered().balancers.get(balancer_name(service))
            if before is None:
                raise CloudError(f"there is no load balancer for {key(service)}")
            self._keep(Balancer(before.name, before.service, before.addresses, _names(nodes), before.check_port))
            await self._settle()

    async def delete(self, service: Obj) -> None:
        async with self._turn:
            try:
                self._remembered().forget(balancer_name(service))
            except OSError as error:
                raise CloudError(f"cannot write {self._paths.balancers}: {error}") from error
            await self._settle()

    async def run(self) -> None:
        """Ask nodes how they are and move addresses, for ever. A lab without load balancers costs nothing."""
        while True:
            failed = False
            try:
                await self._round()
            except (CloudError, OSError) as error:
                log.warning("load balancers not looked at: %s", error)
                failed = True
            soon = failed or self._memory.balancers or self._telling
            await is_set_within(self._changed, self._period if soon else None)
            self._changed.clear()

    def is_well(self, node: str, port: int) -> bool:
        """What the last checks said."""
        return self._health.get((node, port), Health()).is_well

    def _remembered(self) -> Memory:
        """What is on disk is read once, when this process leads: until then another may have written it."""
        if not self._loaded:
            self._memory.load()
            self._loaded = True
        return self._memory

    def _keep(self, balancer: Balancer) -> None:
        try:
            self._memory.keep(balancer)
        except OSError as error:
            raise CloudError(f"cannot write {self._paths.balancers}: {error}") from error

    async def _round(self) -> None:
        spec = described(self._paths)
        asked = sorted(plan.checks(self._remembered().balancers.values(), _running(spec)))
        answers = await asyncio.gather(*(self._ask(spec, node, port) for node, port in asked))
        self._health = {
            check: self._health.get(check, Health()).after(answer) for check, answer in zip(asked, answers, strict=True)
        }
        async with self._turn:
            await self._settle()

    async def _ask(self, spec: Spec, node: str, port: int) -> bool:
        return await health.is_well(spec.address(spec.node(node)), port, CHECK_DEADLINE)

    async def _settle(self) -> None:
        """Have every address where it should be, by what is known of the nodes now."""
        spec = described(self._paths)
        if not plan.checks(self._memory.balancers.values(), _running(spec)) <= self._health.keys():
            self._changed.set()
        nodes = [each.name for each in spec.nodes]
        there = await asyncio.to_thread(self._announcer.there, nodes, pool_of(spec))
        wanted = plan.announcers(self._memory.balancers.values(), self._health, plan.held(there), _running(spec))
        given = await asyncio.to_thread(self._announcer.carry_out, plan.shift(there, wanted))
        still = {
            (node, address): left for (node, address), left in self._telling.items() if wanted.get(address) == node
        }
        self._telling = {**still, **dict.fromkeys(given, TOLD)}
        for node, address in list(self._telling):
            await asyncio.to_thread(self._tell, node, address)

    def _tell(self, node: str, address: str) -> None:
        try:
            self._announcer.announce(node, address)
        except OSError as error:
            log.warning("%s not announced by %s: %s", address, node, error)
        self._telling[node, address] -= 1
        if self._telling[node, address] <= 0:
            del self._telling[node, address]


def _running(spec: Spec) -> list[str]:
    return [each.name for each in spec.nodes if not each.stopped]


def _names(nodes: Sequence[Obj]) -> tuple[str, ...]:
    return tuple(name(node) for node in nodes)


def _check_port(service: Obj) -> int:
    spec = service.get("spec") or {}
    own = spec.get("healthCheckNodePort") if spec.get("externalTrafficPolicy") == "Local" else 0
    return int(own or PROXY_HEALTH_PORT)


def _status(balancer: Balancer) -> Obj:
    return {"ingress": [{"ip": address, "ipMode": "VIP"} for address in balancer.addresses]}


def _shown(service: Obj) -> Sequence[str]:
    """What the Service itself says it has: the memory may have been lost."""
    told: Mapping[str, list[Mapping[str, str]]] = (service.get("status") or {}).get("loadBalancer") or {}
    return [each["ip"] for each in told.get("ingress") or () if each.get("ip")]

"""Which address a load balancer gets, and which node announces it. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from apimachinery.objects import Obj

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# A node fails after so many checks in a row without a good answer; one good answer makes it well again.
FAILURES = 2


class NoAddress(Exception):
    """A Service cannot have the address that it needs; the message says why and what helps."""


@dataclass(frozen=True)
class Range:
    """The addresses that load balancers may have, both ends included, of one family."""

    first: Address
    last: Address

    def __contains__(self, address: Address) -> bool:
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


@dataclass(frozen=True)
class Balancer:
    """One load balancer. `check_port` answers 200 to GET /healthz on each node that may take its traffic."""

    name: str
    service: str
    """namespace/name, for people"""
    addresses: tuple[str, ...]
    hosts: tuple[str, ...]
    """the nodes behind it"""
    check_port: int


def addresses(service: Obj, pool: Sequence[Range], taken: Collection[str], held: Sequence[str]) -> tuple[str, ...]:
    """One address for each family of the Service that the pool has. `held` it has, or had, and keeps where it can;
    `taken` are others'. NoAddress.
    """
    spec = service.get("spec") or {}
    wanted = str(spec.get("loadBalancerIP") or "")
    families = spec.get("ipFamilies") or ["IPv4"]
    ranges = [r for family in families for r in pool if f"IPv{r.first.version}" == family]
    if not ranges:
        raise NoAddress(f"the lab has no {' or '.join(families)} addresses for load balancers")
    if wanted and not any(ipaddress.ip_address(wanted) in each for each in ranges):
        raise NoAddress(f"spec.loadBalancerIP {wanted} is not in {' or '.join(map(str, ranges))}")
    return tuple(_one(each, wanted, taken, held) for each in ranges)


def _one(pool: Range, wanted: str, taken: Collection[str], held: Sequence[str]) -> str:
    if wanted and ipaddress.ip_address(wanted) in pool:
        text = str(ipaddress.ip_address(wanted))
        if text in taken:
            raise NoAddress(f"spec.loadBalancerIP {text} belongs to another Service")
        return text
    for text in held:
        if ipaddress.ip_address(text) in pool and text not in taken:
            return text
    for number in range(int(pool.first), int(pool.last) + 1):
        text = str(type(pool.first)(number))
        if text not in taken:
            return text
    raise NoAddress(f"no address is left of {pool}; delete a Service of type LoadBalancer")


@dataclass(frozen=True)
class Health:
    """What is known of one node and check port: failures in a row, and whether it ever answered."""

    failures: int = 0
    answered: bool = False

    @property
    def is_well(self) -> bool:
        return self.answered and self.failures < FAILURES

    def after(self, answers: bool) -> Health:
        """With one more check done."""
        return Health(0, True) if answers else Health(self.failures + 1, self.answered)


def announcers(
    balancers: Iterable[Balancer],
    health: Mapping[tuple[str, int], Health],
    current: Mapping[str, str],
    running: Collection[str],
) -> dict[str, str]:
    """Address → the node that is to announce it. `running`: the nodes that are switched on.

    A node that is well keeps what it has. What nobody well can have stays where it is: a check may be wrong, and an
    address that nobody announces is certainly unreachable.
    """
    wanted: dict[str, str] = {}
    for balancer in balancers:
        hosts = [host for host in balancer.hosts if host in running]
        well = [host for host in hosts if health.get((host, balancer.check_port), Health()).is_well]
        for address in balancer.addresses:
            now = current.get(address, "")
            if now in well or (not well and now in hosts):
                wanted[address] = now
            elif well:
                wanted[address] = max(well, key=lambda host: _weight(address, host))
    return wanted


def _weight(address: str, host: str) -> bytes:
    """By rendezvous: addresses spread over nodes, and a node that goes moves its own alone."""
    return hashlib.sha256(f"{address} {host}".encode()).digest()


def checks(balancers: Iterable[Balancer], running: Collection[str]) -> set[tuple[str, int]]:
    """Which nodes to ask at which port."""
    return {(host, balancer.check_port) for balancer in balancers for host in balancer.hosts if host in running}


@dataclass(frozen=True)
class Shift:
    """What to change on the nodes: (node, address) pairs. What goes, goes first."""

    take: tuple[tuple[str, str], ...]
    give: tuple[tuple[str, str], ...]


def shift(there: Mapping[str, Collection[str]], wanted: Mapping[str, str]) -> Shift:
    """`there`: the pool's addresses that each node has."""
    take = [(node, each) for node, held in there.items() for each in held if wanted.get(each) != node]
    give = [(node, each) for each, node in wanted.items() if each not in there.get(node, ())]
    return Shift(tuple(sorted(take)), tuple(sorted(give)))


def held(there: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Address → the node that has it; of several the first by name."""
    return {address: node for node in sorted(there, reverse=True) for address in there[node]}

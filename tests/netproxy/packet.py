"""A packet on its way through rules, and where it may end. Shared by the tracers of both rule languages."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace

LOCAL_ADDRESSES = frozenset({"10.20.0.11", "10.96.0.10", "127.0.0.1", "fd00:20::11", "::1"})
"""addresses of the node the packet passes; the tenth Service address is its DNS"""


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection. `bound` holds affinity marks it already has."""

    src: str
    dst: str
    dport: int
    protocol: str = "tcp"
    bound: frozenset[str] = frozenset()
    mark: int = 0
    priority: int = 0
    redirected: bool = False
    weight: float = 1.0
    interface: str = ""
    """by which it came; none for this node's own"""

    @property
    def from_here(self) -> bool:
        """The node itself sends it."""
        return self.src in LOCAL_ADDRESSES

    @property
    def to_here(self) -> bool:
        """The node itself is addressed."""
        return self.dst in LOCAL_ADDRESSES

    def to(self, ip: str, port: int) -> Packet:
        """After DNAT."""
        return replace(self, dst=ip, dport=port, redirected=True)

    def share(self, part: float) -> Packet:
        """The same packet with a part of its probability."""
        return replace(self, weight=self.weight * part)


@dataclass(frozen=True, order=True)
class End:
    """Where a packet ends: drop, reject, untouched (no Service took it) or sent; `target` as ip:port when sent."""

    verdict: str
    target: str = ""
    masquerade: bool = False


def matches(address: str, wanted: str) -> bool:
    """Whether an address is (in) `wanted`."""
    network = ipaddress.ip_network(wanted, strict=False)
    ip = ipaddress.ip_address(address)
    return ip.version == network.version and ip in network


def came_by(packet: Packet, wanted: str) -> bool:
    """Whether a packet came by an interface, or by one whose name begins so where `wanted` ends in + or *."""
    return packet.interface.startswith(wanted[:-1]) if wanted.endswith(("+", "*")) else packet.interface == wanted


def same(address: str) -> str:
    """One spelling of an address."""
    return str(ipaddress.ip_address(address.strip("[]")))


def collect(ends: Iterable[tuple[End, float]]) -> dict[End, float]:
    """Probabilities by end, rounded so that equal spreads compare equal."""
    total: dict[End, float] = {}
    for end, weight in ends:
        total[end] = total.get(end, 0.0) + weight
    return {end: round(weight, 4) for end, weight in total.items()}


def sent(*targets: str, masquerade: bool = False) -> dict[End, float]:
    """Evenly spread over `targets`."""
    return {End("sent", target, masquerade): round(1 / len(targets), 4) for target in targets}


UNTOUCHED = {End("untouched"): 1.0}
DROPPED = {End("drop"): 1.0}
REJECTED = {End("reject"): 1.0}

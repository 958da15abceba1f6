"""Service routes to userspace pieces: where to listen and whom to lead where; addresses to take. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from netproxy.ground import Ground, allowed_sources, node_port_addresses
from netproxy.model import Backend, PortKey, Route

Target = tuple[str, int]
"""(address, port)"""


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """Where clients come to. `protocol`: TCP or UDP."""

    protocol: str
    address: str
    port: int


@dataclass(frozen=True, slots=True, order=True)
class Own:
    """An address that becomes this host's own."""

    address: str


@dataclass(frozen=True, slots=True)
class Relay:
    """What becomes of those who come to a listener."""

    service: PortKey
    """clients are bound to endpoints by Service port, at whichever of its addresses they come"""
    inside: tuple[Target, ...]
    """for pods and this node"""
    outside: tuple[Target, ...]
    """for everybody else; empty: they are turned away"""
    affinity_seconds: int = 0
    sources: tuple[str, ...] = ()
    """CIDRs of those who are let in; empty: everybody"""


Key = Listener | Own
Value = Relay | bool
Piece = tuple[Key, Value]


def plan(route: Route, ground: Ground, node_addresses: frozenset[str]) -> tuple[Piece, ...]:
    """All pieces one Service port claims. Nobody listens where nobody could be led: the kernel refuses there."""
    return tuple([*_internal(route, node_addresses), *_external(route, ground, node_addresses)])


def _internal(route: Route, node_addresses: frozenset[str]) -> Iterator[Piece]:
    port = route.port
    backends = _targets(route.internal)
    yield from _front(route, port.cluster_ip, Relay(port.key, backends, backends, port.affinity_seconds))
    if port.cluster_ip not in node_addresses:
        yield Own(port.cluster_ip), True


def _external(route: Route, ground: Ground, node_addresses: frozenset[str]) -> Iterator[Piece]:
    port = route.port
    if not route.external and not route.refuses_external:
        return  # who comes is let on to a node that has an endpoint
    relay = Relay(port.key, _targets(route.cluster), _targets(route.external), port.affinity_seconds)
    allowed = allowed_sources(port.source_ranges, port.load_balancer_ips, ground) if port.source_ranges else ()
    fenced = Relay(port.key, relay.inside, relay.outside, port.affinity_seconds, allowed)
    for ip, wanted in (
        *((ip, relay) for ip in port.external_ips),
        *((ip, fenced) for ip in port.load_balancer_ips),
    ):
        yield from _front(route, ip, wanted)
        if ip not in node_addresses:
            yield Own(ip), True
    if port.node_port:
        for ip in node_port_addresses(ground, node_addresses):
            yield from _front(route, ip, relay, port.node_port)


def _front(route: Route, ip: str, relay: Relay, port: int = 0) -> Iterator[Piece]:
    if relay.inside or relay.outside:
        yield Listener(route.port.key.protocol, ip, port or route.port.port), relay


def _targets(backends: tuple[Backend, ...]) -> tuple[Target, ...]:
    return tuple((backend.ip, backend.port) for backend in backends)


def is_inside(client: str, ground: Ground, *own: Collection[str]) -> bool:
    """Whether a client is a pod of the cluster or this node. `own`: all addresses of this host, asked at each
    connection and so never put together."""
    address = ipaddress.ip_address(client)
    if address.is_loopback or any(client in some for some in own):
        return True
    return any(address in _network(cidr) for cidr in ground.cluster_cidrs)


_network = lru_cache(64)(ipaddress.ip_network)

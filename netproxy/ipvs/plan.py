"""Service routes to IPVS pieces: virtual servers, addresses of the device, members of sets. Pure.

A virtual server has one list of real servers for every client. So a Service of external policy Local leads everybody to
this node's endpoints as long as there are any; without one, pods and this node are led to all endpoints, and what comes
from outside is dropped by a set. That is kube-proxy's own limit in this mode.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apimachinery.kit.ipvs import SCHEDULER_2, Schedule, Target, Virtual
from netproxy.ground import Ground, allowed_sources, node_port_addresses
from netproxy.ipvs import rules
from netproxy.model import Backend, Route


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One member of a set of the kernel's."""

    set: str
    entry: str


@dataclass(frozen=True, slots=True, order=True)
class Bound:
    """An address of the device."""

    address: str


@dataclass(frozen=True, slots=True)
class Server:
    """All of a virtual server but its name."""

    schedule: Schedule
    targets: tuple[Target, ...]


Key = Virtual | Member | Bound
Value = Server | bool
"""a virtual server's, else True: it is there"""
Piece = tuple[Key, Value]


@dataclass(frozen=True)
class Place:
    """What the planner must know of this host beside its Ground; addresses of one family, in canonical text."""

    scheduler: str
    node_addresses: frozenset[str] = frozenset()
    """what other devices have: node ports answer there, and our device must not have them, too"""


def plan(route: Route, ground: Ground, place: Place) -> tuple[Piece, ...]:
    """All pieces one Service port claims."""
    return tuple([*_internal(route, place), *_external(route, ground, place), *_hairpins(route)])


def _internal(route: Route, place: Place) -> Iterator[Piece]:
    port = route.port
    yield _in(route, rules.CLUSTER_IP, _entry(route, port.cluster_ip))
    yield from _front(route, port.cluster_ip, route.internal, place)
    if not route.internal and route.has_endpoints:
        yield _in(route, rules.DROP, _entry(route, port.cluster_ip))


def _external(route: Route, ground: Ground, place: Place) -> Iterator[Piece]:
    port = route.port
    local = port.external_local
    backends = route.external or (route.cluster if local else ())
    node_ports = node_port_addresses(ground, place.node_addresses) if port.node_port else ()
    for ip in port.external_ips:
        yield _in(route, rules.EXTERNAL_IP_LOCAL if local else rules.EXTERNAL_IP, _entry(route, ip))
    for ip in port.load_balancer_ips:
        yield _in(route, rules.LOAD_BALANCER, _entry(route, ip))
        if local:
            yield _in(route, rules.LOAD_BALANCER_LOCAL, _entry(route, ip))
    # An address that is not this host's own passes it; IPVS still takes what this host itself sends there.
    ends_here = bool(route.external) or route.refuses_external
    for ip in (*port.external_ips, *port.load_balancer_ips):
        yield from _front(route, ip, backends, place, bind=ends_here)
    if node_ports:
        yield from _node_port(route, node_ports, backends, place)
    if route.refuses_external and route.has_endpoints:
        fronts = [*((ip, port.port) for ip in (*port.external_ips, *port.load_balancer_ips))]
        fronts += [(ip, port.node_port) for ip in node_ports]
        yield from (_in(route, rules.DROP_OUTSIDE, _entry(route, *front)) for front in fronts)
    if port.source_ranges:
        yield from _source_ranges(route, ground)
    if port.health_check_node_port:
        yield _in(route, rules.HEALTH_CHECK, str(port.health_check_node_port))


def _front(route: Route, ip: str, backends: Sequence[Backend], place: Place, bind: bool = True) -> Iterator[Piece]:
    yield _server(route, ip, route.port.port, backends, place)
    if bind and ip not in place.node_addresses:
        yield Bound(ip), True
        yield _in(route, rules.BOUND, ip)


def _node_port(route: Route, ips: Sequence[str], backends: Sequence[Backend], place: Place) -> Iterator[Piece]:
    port = route.port
    yield from (_server(route, ip, port.node_port, backends, place) for ip in ips)
    sctp = port.key.protocol == "SCTP"
    entries = [_entry(route, ip, port.node_port) for ip in ips] if sctp else [str(port.node_port)]
    for entry in entries:
        yield _in(route, rules.NODE_PORT[port.key.protocol], entry)
        if port.external_local:
            yield _in(route, rules.NODE_PORT_LOCAL[port.key.protocol], entry)


def _server(route: Route, ip: str, port: int, backends: Sequence[Backend], place: Place) -> Piece:
    # As kube-proxy has it: with mh the client's port counts, so that clients behind one address are spread.
    options = SCHEDULER_2 if place.scheduler == "mh" else 0
    schedule = Schedule(place.scheduler, route.port.affinity_seconds, options)
    return Virtual(route.port.key.protocol, ip, port), Server(schedule, tuple((b.ip, b.port) for b in backends))


def _source_ranges(route: Route, ground: Ground) -> Iterator[Piece]:
    port = route.port
    allowed = allowed_sources(port.source_ranges, port.load_balancer_ips, ground)
    for ip in port.load_balancer_ips:
        entry = _entry(route, ip)
        yield _in(route, rules.LOAD_BALANCER_FIREWALL, entry)
        yield from (_in(route, rules.LOAD_BALANCER_SOURCE, f"{entry},{cidr}") for cidr in _halves(allowed))


def _halves(cidrs: Sequence[str]) -> Iterator[str]:
    """A set holds no network of all addresses, but both its halves; and a single address without its prefix."""
    for cidr in cidrs:
        network = ipaddress.ip_network(cidr)
        for part in network.subnets() if network.prefixlen == 0 else (network,):
            yield str(part.network_address) if part.prefixlen == part.max_prefixlen else str(part)


def _hairpins(route: Route) -> Iterator[Piece]:
    """A pod that reaches itself must see another source, or its answer would not come back this way."""
    for backend in route.reachable:
        if backend.local:
            yield _in(route, rules.LOOP_BACK, f"{_entry(route, backend.ip, backend.port)},{backend.ip}")


def _in(route: Route, name: str, entry: str) -> Piece:
    return Member(rules.set_name(name, route.port.key.family), entry), True


def _entry(route: Route, ip: str, port: int = 0) -> str:
    return f"{ip},{route.port.key.protocol.lower()}:{port or route.port.port}"

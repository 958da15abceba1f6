"""Which endpoints of a Service port this node sends traffic to. Pure.

Rules: KEP-1669 (terminating endpoints as a fallback), KEP-2086 and KEP-1880 (internal and external policy
Local), KEP-4444 and KEP-3015 (trafficDistribution: zone and node hints, used only when every ready endpoint
has one and one of them fits this node).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from netproxy.model import Backend, Endpoint, Route, ServicePort


@dataclass(frozen=True, slots=True)
class Place:
    """Where this proxy runs. An empty node name: a host that is no node and has no local endpoints."""

    node_name: str = ""
    zone: str = ""


def choose(port: ServicePort, endpoints: Iterable[Endpoint], place: Place) -> Route:
    """Decide for one Service port; the order of `endpoints` does not matter."""
    known = tuple(endpoints)
    cluster: tuple[Endpoint, ...] = ()
    if port.uses_cluster_endpoints:
        hinted = _by_hints(known, place)
        cluster = tuple(e for e in known if e.ready and hinted(e)) or _draining(known)
    local: tuple[Endpoint, ...] = ()
    has_endpoints = bool(cluster)
    if port.uses_local_endpoints:
        has_endpoints = has_endpoints or any(e.ready for e in known) or bool(_draining(known))
        here = tuple(e for e in known if _is_local(e, place))
        local = tuple(e for e in here if e.ready) or _draining(here)
    at_node = bool(place.node_name)
    return Route(port, _backends(cluster, place), _backends(local, place), has_endpoints, at_node)


def _draining(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    return tuple(e for e in endpoints if not e.ready and e.serving and e.terminating)


def _is_local(endpoint: Endpoint, place: Place) -> bool:
    return bool(place.node_name) and endpoint.node_name == place.node_name


def _by_hints(endpoints: tuple[Endpoint, ...], place: Place) -> Callable[[Endpoint], bool]:
    ready = [e for e in endpoints if e.ready]
    if all(e.node_hints for e in ready) and any(place.node_name in e.node_hints for e in ready):
        return lambda e: place.node_name in e.node_hints
    if all(e.zone_hints for e in ready) and any(place.zone in e.zone_hints for e in ready):
        return lambda e: place.zone in e.zone_hints
    return lambda _: True


def _backends(endpoints: Iterable[Endpoint], place: Place) -> tuple[Backend, ...]:
    return tuple(sorted({Backend(e.ip, e.port, _is_local(e, place)) for e in endpoints}))

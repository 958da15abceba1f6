"""Which endpoints of a Service port this node sends traffic to. Pure.

Rules: KEP-1669 (terminating endpoints as a fallback), KEP-2086 and KEP-1880 (internal and external policy
Local), KEP-4444 and KEP-3015 (trafficDistribution: zone and node hints, used only when every ready endpoint
has one and one of them fits this node).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from netproxy.model import Backend, Endpoint, Route, ServicePort


@dataclass(frozen=True, slots=True)
class Place:
    """Where this proxy runs. An empty node name: a host that is no node and has no local endpoints."""

    node_name: str = ""
    zone: str = ""


# Values by way of the interpreter alone: a full start makes tens of thousands.
_backend: Callable[[tuple[str, int, bool]], Backend] = partial(tuple.__new__, Backend)
_route: Callable[[tuple[Any, ...]], Route] = partial(tuple.__new__, Route)


def choose(port: ServicePort, endpoints: Iterable[Endpoint], place: Place) -> Route:
    """Decide for one Service port; the order of `endpoints` does not matter."""
    known = tuple(endpoints)
    ready = [e for e in known if e.ready]
    cluster: Sequence[Endpoint] = ()
    if port.uses_cluster_endpoints:
        cluster = _by_hints(ready, place) or _draining(known)
    has_endpoints, at_node = bool(cluster), bool(place.node_name)
    if not port.uses_local_endpoints:
        return _route((port, _backends(cluster, place), (), has_endpoints, at_node, False))
    has_endpoints = has_endpoints or bool(ready) or bool(_draining(known))
    here = [e for e in known if _is_local(e, place)]
    local = [e for e in here if e.ready] or _draining(here)
    draining = bool(local) and not local[0].ready
    return Route(port, _backends(cluster, place), _backends(local, place), has_endpoints, at_node, draining)


def _draining(endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
    return [e for e in endpoints if not e.ready and e.serving and e.terminating]


def _is_local(endpoint: Endpoint, place: Place) -> bool:
    return bool(place.node_name) and endpoint.node_name == place.node_name


def _by_hints(ready: Sequence[Endpoint], place: Place) -> Sequence[Endpoint]:
    """Those for this node, else those for its zone, else all; of hints only some endpoints have nothing follows."""
    if not ready or not (ready[0].zone_hints or ready[0].node_hints):
        return ready
    for hints, here in ((_NODE_HINTS, place.node_name), (_ZONE_HINTS, place.zone)):
        if all(map(hints, ready)) and (found := [e for e in ready if here in hints(e)]):
            return found
    return ready


_NODE_HINTS, _ZONE_HINTS = attrgetter("node_hints"), attrgetter("zone_hints")


def _backends(endpoints: Sequence[Endpoint], place: Place) -> tuple[Backend, ...]:
    if not endpoints:
        return ()
    node = place.node_name
    found = {_backend((e.ip, e.port, node != "" and e.node_name == node)) for e in endpoints}
    return tuple(sorted(found)) if len(found) > 1 else tuple(found)

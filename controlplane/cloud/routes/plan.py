"""Which of a cloud's routes have to go, which are missing, and what that means for each node. Pure.

Source: the route controller of upstream's cloud-provider.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from apimachinery.objects import Obj, condition, name
from apimachinery.timestamps import format_time
from controlplane.cloud.interface import Route

NETWORK_UNAVAILABLE = "NetworkUnavailable"


@dataclass(frozen=True)
class Changes:
    """`delete` comes first: one range may lead to another node by now."""

    delete: tuple[Route, ...]
    create: tuple[Route, ...]


def changes(nodes: Iterable[Obj], routes: Sequence[Route], ranges: Sequence[str]) -> Changes:
    """`ranges`: those of the cluster (CIDRs); routes outside are somebody else's."""
    wanted = [route for node in nodes for route in _wanted(node)]
    there = [route for route in routes if not route.blackhole]
    delete = [
        route
        for route in routes
        if _is_ours(route, ranges) and (route.blackhole or not any(_serves(route, other) for other in wanted))
    ]
    create = [route for route in wanted if not any(_serves(other, route) for other in there)]
    return Changes(tuple(delete), tuple(create))


def _wanted(node: Obj) -> list[Route]:
    internal = tuple(
        each["address"]
        for each in (node.get("status") or {}).get("addresses") or ()
        if each.get("type") == "InternalIP"
    )
    return [Route(text, name(node), internal) for text in pod_ranges(node)]


def pod_ranges(node: Obj) -> Sequence[str]:
    spec = node.get("spec") or {}
    return spec.get("podCIDRs") or ()


def _serves(route: Route, wanted: Route) -> bool:
    """Whether a route of the cloud's is what is wanted; one that tells addresses has to tell the node's."""
    same = (route.destination, route.node) == (wanted.destination, wanted.node)
    return same and (not route.addresses or set(route.addresses) <= set(wanted.addresses))


def _is_ours(route: Route, ranges: Sequence[str]) -> bool:
    destination = ipaddress.ip_network(route.destination, strict=False)
    for text in ranges:
        network = ipaddress.ip_network(text, strict=False)
        if network.version == destination.version and destination.network_address in network:
            return True
    return False


def network_condition(node: Obj, failed: Mapping[str, str], now: datetime) -> Obj | None:
    """NetworkUnavailable as it should be; None where it is. `failed`: node → why a route is missing.

    A node without a pod range has no route, and no network.
    """
    available = bool(pod_ranges(node)) and name(node) not in failed
    status = "False" if available else "True"
    held = condition(node, NETWORK_UNAVAILABLE)
    if held is not None and held.get("status") == status:
        return None
    reason, text = ("RouteCreated", "RouteController created a route")
    if not available:
        reason, text = "NoRouteCreated", "RouteController failed to create a route"
    stamp = format_time(now)
    return {
        "type": NETWORK_UNAVAILABLE,
        "status": status,
        "reason": reason,
        "message": text,
        "lastTransitionTime": stamp,
        "lastHeartbeatTime": stamp,
    }

"""Which routes a node needs, and the way there from the ones it has. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from apimachinery.kit.netlink.routes import Interface, Network, Route
from cni.node.model import NodeNetwork

# Shown as `proto 119` by ip(8); unassigned in rt_protos, so whatever carries it is ours.
PROTOCOL = 0x77
# Only ever wins when nothing more specific exists, also against equally wide routes of others.
UNREACHABLE_METRIC = 0x7FFF
# How the kernel marks the routes that come with addresses (RTPROT_KERNEL), and their metric in IPv6.
_KERNEL, _KERNEL_METRIC = 2, 256


@dataclass(frozen=True)
class Changes:
    """Requests in an order that never leaves a destination unserved: additions, replacements, then
    deletions.
    """

    set: tuple[Route, ...]
    delete: tuple[Route, ...]


def wanted(
    own: str,
    nodes: Iterable[NodeNetwork],
    cluster: Iterable[Network],
    through: Callable[[NodeNetwork, Network], Route | None] = lambda _node, _cidr: None,
) -> tuple[Route, ...]:
    """A route to every other node's CIDRs, and unreachable for the rest of the cluster's range: the one that `through`
    gives, else by the node's address of the same family.

    `own` is "" on a machine that is no node; there the rest of the cluster's range is left alone. When two
    nodes claim overlapping CIDRs, the first by name is served.
    """
    found: list[Route] = []
    everyone = sorted(nodes, key=lambda n: n.name)
    claimed = [c for n in everyone if n.name == own for c in n.cidrs]
    for node in everyone:
        if node.name == own:
            continue
        for cidr in node.cidrs:
            route = through(node, cidr) or _direct(node, cidr)
            if route is None or any(cidr.version == c.version and cidr.overlaps(c) for c in claimed):
                continue
            claimed.append(cidr)
            found.append(route)
    for network in cluster if own else ():
        if network not in claimed:
            found.append(Route(network, kind="unreachable", metric=UNREACHABLE_METRIC, protocol=PROTOCOL))
    return tuple(found)


def _direct(node: NodeNetwork, cidr: Network) -> Route | None:
    gateway = next((a for a in node.addresses if a.version == cidr.version), None)
    return Route(cidr, gateway=gateway, protocol=PROTOCOL) if gateway else None


def connected(link: int, gateways: Iterable[Interface]) -> tuple[Route, ...]:
    """The routes to a bridge's own networks, as the kernel makes them when the bridge gets these addresses."""
    found = []
    for gateway in gateways:
        four = gateway.version == 4
        source, metric = (gateway.ip, 0) if four else (None, _KERNEL_METRIC)
        found.append(Route(gateway.network, link=link, source=source, metric=metric, protocol=_KERNEL))
    return tuple(found)


def owned(own: str, present: Iterable[Route], cluster: Iterable[Network]) -> tuple[Route, ...]:
    """Which routes of PROTOCOL are this cluster's: all inside a node, which belongs to one cluster; elsewhere
    those into its ranges, since a machine may have routes to several clusters.
    """
    if own:
        return tuple(present)
    ranges = tuple(cluster)
    return tuple(r for r in present if any(_within(r.destination, c) for c in ranges))


def changes(present: Iterable[Route], goal: Iterable[Route]) -> Changes:
    """`present` are the routes of PROTOCOL in the kernel, with the links that the kernel chose where the goal leaves
    them open."""
    have = {_comparable(r): r for r in present}
    want = {_comparable(r): r for r in goal}
    places = {(r.destination, r.metric) for r in want.values()}
    return Changes(
        set=tuple(r for key, r in want.items() if key not in have),
        delete=tuple(r for key, r in have.items() if key not in want and (r.destination, r.metric) not in places),
    )


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.prefixlen >= outer.prefixlen and inner.overlaps(outer)


def _comparable(route: Route) -> Route:
    # The kernel reports lo for IPv6 unreachable routes, fills in the link of a gateway, and gives IPv6 routes
    # a metric.
    metric = 0 if route.destination.version == 6 and route.metric == 1024 else route.metric
    return replace(route, link=0, metric=metric, onlink=False)

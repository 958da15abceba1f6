"""Pods' packets encrypted between nodes: which peers a node's WireGuard device has. Pure.

A node announces its public key on its own Node once its device stands; every node that finds a key there makes it a
peer, and is sent packets by the device once it has proved itself (a handshake), for only then does it know us, too.
Until then it is reached directly, as a node that announces nothing: so the way can change node by node while pods talk.
A node that has once proved itself is not reached in the clear any more, whatever becomes of it.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable

from apimachinery.kit.netlink import Route
from apimachinery.kit.netlink.routes import Address, Network, alone
from apimachinery.kit.wireguard import OVERHEAD, Peer
from cni.node.model import NodeNetwork
from cni.node.overlay import TABLE
from cni.node.plan import PROTOCOL

# Seconds. Makes a new peer prove itself at once, and tells connections through whatever keeps track of them on the way.
KEEPALIVE = 25


def announcement(key: str, port: int) -> str:
    """The annotation's value by which a node tells that it takes encrypted packets."""
    return json.dumps({"key": key, "port": port})


def mtu(underlay: int, local: Address) -> int:
    """The largest packet (bytes) of pods that fits through the link between the nodes."""
    return underlay - OVERHEAD[local.version]


def peers(own: NodeNetwork, nodes: Iterable[NodeNetwork]) -> dict[str, Peer]:
    """By node: who has announced a key and has an address of the version of ours. A key of two nodes is the first's."""
    found: dict[str, Peer] = {}
    keys = {own.key}
    for node in sorted(nodes, key=lambda n: n.name):
        address = endpoint(own, node)
        if node.name == own.name or address is None or node.key in keys:
            continue
        keys.add(node.key)
        inside = frozenset([*node.cidrs, *map(alone, node.addresses)])
        found[node.name] = Peer(node.key, (address, node.key_port), inside, KEEPALIVE)
    return found


def endpoint(own: NodeNetwork, node: NodeNetwork) -> Address | None:
    """Where a node's encrypted packets are sent to; None where it takes none."""
    if not node.key or not own.addresses:
        return None
    return next((a for a in node.addresses if a.version == own.addresses[0].version), None)


def route_through(cidr: Network, link: int, sources: Iterable[Address]) -> Route:
    """The route to a node's pods by the device. `sources`: this node's own addresses on its links."""
    source = next((a for a in sources if a.version == cidr.version), None)
    return Route(cidr, None, link, source=source, protocol=PROTOCOL)


def routes_to_nodes(nodes: Iterable[NodeNetwork], link: int) -> tuple[Route, ...]:
    """Of TABLE: what pods send to these nodes goes by the device, too."""
    return tuple(Route(alone(a), None, link, protocol=PROTOCOL, table=TABLE) for n in nodes for a in n.addresses)


def own_address(own: NodeNetwork) -> ipaddress.IPv4Interface | None:
    """The device's: loose checking of packets' way back is strict on a link without any."""
    cidr = next((c for c in own.cidrs if c.version == 4), None)
    return ipaddress.IPv4Interface((cidr[0], 32)) if isinstance(cidr, ipaddress.IPv4Network) else None

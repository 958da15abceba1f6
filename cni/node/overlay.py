"""Pods' packets in UDP between nodes that share no link: what the vxlan device of a node must know. Pure.

    pod ── cni0 ── route: other CIDR via a gateway ── vxlan device ── neighbour, forwarding entry ── UDP ── other node

Nothing is learned or flooded: every node computes all of it from the Node objects. A node announces on its own Node
that its device stands, and is sent encapsulated packets from then on; before, and where its settings differ, it is
reached directly. So the way can change node by node while pods talk.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass

from apimachinery.kit.netlink import FarEnd, Route, Rule, Tunnel, vxlan
from apimachinery.kit.netlink.links import mac_bytes
from apimachinery.kit.netlink.routes import MAIN_TABLE, Address, Interface, Network, alone
from cni.node.model import NodeNetwork
from cni.node.plan import PROTOCOL

# A table of its own: from pods, other nodes' addresses lead through the device, too. Answers to what a node sent to a
# pod by the device go back by it, and no packet with a pod's address has to cross the network between the nodes.
TABLE = 0x77
PRIORITY = 0x7700
# But for what bears this node's address once it is translated: answers of a pod behind a port of this node (DNAT), and
# what a proxy masquerades, as it does when a pod asks a node port. The other half of such a connection passes between
# the nodes without the device, and whoever keeps track of connections on the way has to see both. Bit 12 is no other
# well-known program's: see README.md.
DIRECT_MARK = 0x1000
# What is to be masqueraded, by kube-proxy's default and in netproxy (masqueradeBit 14).
MASQUERADE_MARK = 0x4000


@dataclass(frozen=True)
class Entries:
    """What the device shall hold, and the routes (of TABLE) for what pods send to nodes."""

    far_ends: tuple[FarEnd, ...] = ()
    neighbours: tuple[tuple[Address, str], ...] = ()
    """(gateway, MAC)"""
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True)
class Steering:
    """What leads pods' packets for nodes to a device: routes of TABLE, and the rules that ask it."""

    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()

    def __or__(self, other: Steering) -> Steering:
        return Steering((*self.routes, *other.routes), tuple(dict.fromkeys((*self.rules, *other.rules))))


def steering(own: NodeNetwork, routes: Iterable[Route]) -> Steering:
    """Of a node with these routes; no rules without any."""
    every = tuple(routes)
    rules = [Rule(cidr, MAIN_TABLE, PRIORITY - 1, PROTOCOL, DIRECT_MARK) for cidr in own.cidrs]
    rules += [Rule(cidr, TABLE, PRIORITY, PROTOCOL) for cidr in own.cidrs]
    return Steering(every, tuple(rules) if every else ())


def first_of_each(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """The first of each IP version: as whom a node sends."""
    found: dict[int, Address] = {}
    for address in addresses:
        found.setdefault(address.version, address)
    return tuple(found.values())


def mac_of(node: str) -> str:
    """A device's MAC: the same whenever it is made, and 40 bits keep nodes apart."""
    return "0a:" + hashlib.blake2b(f"vxlan {node}".encode(), digest_size=5).digest().hex(":")


def announcement(node: str, tunnel: Tunnel) -> str:
    """The annotation's value by which a node tells that it takes encapsulated packets."""
    return json.dumps({"vni": tunnel.number, "port": tunnel.port, "mac": mac_of(node)})


def mtu(underlay: int, tunnel: Tunnel | None) -> int:
    """The largest packet (bytes) of pods that fits through the link between the nodes."""
    return underlay - vxlan.OVERHEAD[tunnel.local.version] if tunnel else underlay


def takes(node: NodeNetwork, tunnel: Tunnel) -> Address | None:
    """Where to send encapsulated packets for this node; None when it does not take ours."""
    if (node.vni, node.port) != (tunnel.number, tunnel.port) or not node.mac:
        return None
    return next((a for a in node.addresses if a.version == tunnel.local.version), None)


def gateway(node: NodeNetwork, version: int) -> Address | None:
    """What routes to a node name as the next hop on the device, where only the entry for its MAC counts.

    IPv4: the first address of its pods, which nobody has. IPv6: a link-local one, from the MAC; another the kernel
    refuses while a route to it leads elsewhere, as it does when a node changes to this way.
    """
    if version == 6:
        return ipaddress.IPv6Address(b"\xfe\x80" + bytes(8) + mac_bytes(node.mac))
    return next((cidr[0] for cidr in node.cidrs if cidr.version == 4), None)


def own_gateway(own: NodeNetwork) -> Interface | None:
    """What other nodes name as the next hop in IPv4: the address of this node's device."""
    found = gateway(own, 4)
    return ipaddress.ip_interface(found) if found is not None else None


def route_through(
    node: NodeNetwork, cidr: Network, tunnel: Tunnel, link: int, sources: Iterable[Address]
) -> Route | None:
    """The route to a node's pods by the device; None when the node does not take encapsulated packets.

    `sources`: this node's own addresses on its links, of which its own packets take the first.
    """
    if takes(node, tunnel) is None:
        return None
    source = next((a for a in sources if a.version == cidr.version), None)
    return Route(cidr, gateway(node, cidr.version), link, source=source, protocol=PROTOCOL, onlink=cidr.version == 4)


def entries(own: NodeNetwork, nodes: Iterable[NodeNetwork], tunnel: Tunnel, link: int) -> Entries:
    """What sending to all nodes that take encapsulated packets needs. `link`: the device's index."""
    ends, neighbours, routes = [], [], []
    for node in nodes:
        address = takes(node, tunnel) if node.name != own.name else None
        if address is None:
            continue
        ends.append(FarEnd(node.mac, address))
        for version in sorted({cidr.version for cidr in node.cidrs}):
            if (hop := gateway(node, version)) is not None:
                neighbours.append((hop, node.mac))
                routes += [_to_node(a, hop, link) for a in node.addresses if a.version == version]
    return Entries(tuple(ends), tuple(neighbours), tuple(routes))


def _to_node(address: Address, hop: Address, link: int) -> Route:
    return Route(alone(address), hop, link, protocol=PROTOCOL, table=TABLE, onlink=hop.version == 4)

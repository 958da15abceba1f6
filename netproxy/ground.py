"""What is the same for all Services of one family on this host. A planner's second input."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from netproxy.model import Family
from netproxy.names import NFT_TABLE


@dataclass(frozen=True, slots=True)
class Ground:
    """Host and cluster facts. CIDRs and addresses are of `family` only, in canonical text."""

    family: Family
    cluster_cidrs: tuple[str, ...] = ()
    """where pods live; empty: unknown, then traffic to cluster IPs keeps its source"""
    pod_interface: str = ""
    """instead of cluster_cidrs: pods' traffic comes by this interface, or by all that begin so when it ends in +"""
    service_cidrs: tuple[str, ...] = ()
    """traffic to an address in here which no Service has is dropped; empty: left alone"""
    node_ips: tuple[str, ...] = ()
    node_port_cidrs: tuple[str, ...] = ()
    """node ports answer on the local addresses in these; empty: the mode's default"""
    local_vips: tuple[str, ...] = ()
    """cluster IPs this host has itself, and at which a process of its own answers"""
    masquerade_all: bool = False
    localhost_node_ports: bool = True
    """iptables only: node ports answer on 127.0.0.1 too"""
    tcp_be_liberal: bool = False
    """iptables only: the kernel takes packets outside of a connection's window, and invalid ones are let pass"""
    nft_table: str = NFT_TABLE
    random_by_priority: bool = False
    """nftables only: libnftables takes no random number into a key, so it gets there as the packet's priority"""


def grounds(base: Ground, families: Iterable[Family]) -> tuple[Ground, ...]:
    """One Ground per family from one that mixes both."""
    return tuple(_only(base, family) for family in families)


def _only(base: Ground, family: Family) -> Ground:
    return replace(
        base,
        family=family,
        cluster_cidrs=of_family(base.cluster_cidrs, family),
        service_cidrs=of_family(base.service_cidrs, family),
        node_ips=of_family(base.node_ips, family),
        local_vips=of_family(base.local_vips, family),
        node_port_cidrs=of_family(base.node_port_cidrs, family),
    )


def of_family(texts: Iterable[str], family: Family) -> tuple[str, ...]:
    """The addresses or CIDRs among `texts` that belong to `family`."""
    return tuple(t for t in texts if ipaddress.ip_network(t, strict=False).version == family.value)


def lies_in(ip: str, cidrs: Iterable[str]) -> bool:
    """Whether the address is in one of them; of another family it is in none."""
    address = ipaddress.ip_address(ip)
    return any(address in ipaddress.ip_network(cidr, strict=False) for cidr in cidrs)


def collapse(cidrs: Iterable[str]) -> tuple[str, ...]:
    """The same addresses by the fewest CIDRs, none overlapping; all of one family."""
    networks = [ipaddress.ip_network(c, strict=False) for c in cidrs]
    return tuple(str(n) for n in ipaddress.collapse_addresses(networks))  # type: ignore[type-var]


def allowed_sources(ranges: Iterable[str], addresses: tuple[str, ...], ground: Ground) -> tuple[str, ...]:
    """Load balancer source ranges in full: where they admit this node, its own packets to the address count
    too.

    Such a packet never leaves the node and carries the load balancer's address as its source.
    """
    networks = [ipaddress.ip_network(r, strict=False) for r in ranges]
    own = any(ipaddress.ip_address(ip) in network for ip in ground.node_ips for network in networks)
    return collapse([*map(str, networks), *(addresses if own else ())])


def node_port_addresses(ground: Ground, addresses: Collection[str]) -> tuple[str, ...]:
    """Of the host's addresses those at which node ports answer, sorted."""
    inside = [ipaddress.ip_network(cidr, strict=False) for cidr in ground.node_port_cidrs]
    if not inside:
        return tuple(sorted(set(ground.node_ips) & set(addresses) if ground.node_ips else addresses))
    return tuple(sorted(ip for ip in addresses if any(ipaddress.ip_address(ip) in cidr for cidr in inside)))

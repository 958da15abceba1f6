"""The lab's links, addresses and routes: a bridge on the host, a namespace and a veth for each node.

    host namespace                                     namespace wherry-lab-node1
      eth0 (the machine's own)                            eth0 10.89.0.11/24 ── default via 10.89.0.1
      wh-lab 10.89.0.1/24 (bridge) ── wh-lab-1 ─veth─┘    cni0 10.244.1.1/24 (bridge) ── pods
      routes: pod CIDRs via node addresses (kept by cni), services on wh-lab (answered by netproxy's DNAT)

Before any of these addresses is used, the host's table holds an unreachable route for each whole range, so that no
packet for one ever leaves by the machine's default route. Every function may be called again: what is already so stays.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.netlink import End, Netlink, Route, links, routes
from lab import names
from lab.spec import Network, Node, Spec
from lab.spec import ranges as spec_ranges

# rtnetlink protocol number under which the lab's own host routes are found again.
PROTOCOL = 0x76

_NODE_SYSCTLS = (
    ("net.ipv4.ip_forward", 1),
    ("net.ipv4.conf.all.rp_filter", 0),
    ("net.ipv4.conf.default.rp_filter", 0),
    # Two pods of one node talk through a VIP: the answer crosses the bridge and must meet conntrack there.
    ("net.bridge.bridge-nf-call-iptables", 1),
    ("net.bridge.bridge-nf-call-ip6tables", 1),
    ("net.ipv4.vs.conntrack", 1),
)


def networks_in_use() -> list[Network]:
    """Every range the host has a route to, but for the default routes."""
    with Netlink() as kernel:
        found = [route.destination for route in kernel.routes()]
    return [net for net in found if net.prefixlen > 0]


def ranges(spec: Spec) -> list[Network]:
    """The lab's ranges, of nodes, pods and Services."""
    return [net for text in (spec.pod_cidr, spec.service_cidr, spec.node_cidr) for net in spec_ranges(text)]


def fence(spec: Spec) -> None:
    """Make the lab's ranges unreachable by any way but the lab's own."""
    with Netlink() as kernel:
        kernel.do(*(routes.add_route(_fence_route(spec.name, net), exists_ok=True) for net in ranges(spec)))


def fences(lab: str) -> list[Route]:
    """The routes that fence the lab's ranges, told from other labs' by their metric."""
    metric = names.fence_metric(lab)
    with Netlink() as kernel:
        return [route for route in kernel.routes(protocol=PROTOCOL) if route.metric == metric]


def unfence(lab: str, others: Sequence[Spec]) -> None:
    """Forget the lab's ranges, last of all; of the fences that still carry no lab's metric those that none of the
    `others` on this machine claims.
    """
    claimed = {net for other in others for net in ranges(other)}
    with Netlink() as kernel:
        ours = [route for route in kernel.routes(protocol=PROTOCOL) if route.kind == "unreachable"]
        unmarked = [r for r in ours if r.metric == names.UNMARKED_FENCE and r.destination not in claimed]
        kernel.do(*(routes.delete_route(route) for route in (*fences(lab), *unmarked)))


def _fence_route(lab: str, network: Network) -> Route:
    return Route(network, metric=names.fence_metric(lab), kind="unreachable", protocol=PROTOCOL)


def make_bridge(spec: Spec) -> None:
    """The host's bridge with the gateway addresses and those of several control planes, and the routes that lead
    cluster IPs into the lab.

    A service route only gives local sockets a way and a source address: netproxy rewrites the destination
    before a packet is sent, and what no Service owns ends on the bridge.
    """
    name = names.bridge(spec.name)
    gateways = _on_link(spec, spec.gateways)
    others = [ipaddress.ip_interface(f"{own}/{gateways[0].network.prefixlen}") for own in spec.control_plane_addresses]
    services = zip(spec_ranges(spec.service_cidr), gateways, strict=False)
    with Netlink() as kernel:
        if kernel.link(name) is None:
            kernel.do(links.add_bridge(End(name)))
        index = kernel.index(name)
        kernel.do(
            links.change(name, up=True, alias=f"wherry lab {spec.name}"),
            *(routes.add_address(index, own) for own in (*gateways, *others)),
            *(routes.replace_route(Route(s, link=index, source=g.ip, protocol=PROTOCOL)) for s, g in services),
        )


def remove_links(lab: str) -> None:
    """Take the bridge and every node's link away, and with them every route through them."""
    with Netlink() as kernel:
        kernel.do(*(links.delete(name) for name in link_names(lab)))


def link_names(lab: str) -> list[str]:
    """The lab's links in the host's namespace."""
    return [names.bridge(lab), *(names.port(lab, index) for index in range(1, names.MAX_NODES + 1))]


def links_there(lab: str) -> list[str]:
    """Those that exist."""
    wanted = set(link_names(lab))
    with Netlink() as kernel:
        return sorted(wanted & {link.name for link in kernel.links()})


def make_node(spec: Spec, node: Node, living: int) -> Path:
    """The node's namespace, its link to the bridge, its addresses, default route, and route to IPv6 cluster IPs, which
    the default, of IPv4, does not cover; returns its path.

    `living` is the pid of a daemon that runs on the node, 0 for none: where the name was lost (somebody mounted
    over /run/netns) the namespace that it is in gets the name back.
    """
    name = names.namespace(spec.name, node.name)
    path = netns.path_of(name)
    if netns.identity(path) is None:
        netns.delete(name)
        netns.create(name, Path(f"/proc/{living}/ns/net") if living else None)
    with _open(path) as descriptor, Netlink() as host, Netlink(path) as inside:
        if inside.link(names.UPLINK) is None:
            port = names.port(spec.name, node.index)
            host.do(links.delete(port))
            bridge = host.index(names.bridge(spec.name))
            host.do(
                links.add_veth(End(port, master=bridge), End(names.UPLINK, namespace=descriptor)),
                links.change(port, alias=f"wherry lab {spec.name}, {node.name}"),
            )
        index = inside.index(names.UPLINK)
        default = Route(ipaddress.IPv4Network("0.0.0.0/0"), gateway=ipaddress.IPv4Address(spec.gateway), link=index)
        pairs = zip(spec_ranges(spec.service_cidr), map(ipaddress.ip_address, spec.gateways), strict=False)
        services = [Route(network, gateway=gateway, link=index) for network, gateway in pairs if network.version == 6]
        inside.do(
            links.change("lo", up=True),
            links.change(names.UPLINK, up=True),
            *(routes.add_address(index, own) for own in _on_link(spec, spec.addresses_of(node))),
            *map(routes.replace_route, (default, *services)),
        )
    _node_sysctls(path)
    return path


def _on_link(spec: Spec, addresses: Sequence[str]) -> list[routes.Interface]:
    """The addresses with the prefix lengths of the nodes' ranges."""
    networks = spec_ranges(spec.node_cidr)
    pairs = zip(addresses, networks, strict=True)
    return [ipaddress.ip_interface(f"{address}/{network.prefixlen}") for address, network in pairs]


def _node_sysctls(path: Path) -> None:
    """What a node's kernel must allow; an absent one belongs to a feature this kernel lacks (preflight)."""

    def write() -> None:
        for name, value in _NODE_SYSCTLS:
            if Path("/proc/sys", name.replace(".", "/")).exists():
                netns.write_sysctl(None, name, value)

    netns.call(path, write)


def remove_node(lab: str, node: str) -> None:
    """Take the node's link and namespace away; its processes must have ended."""
    with Netlink() as host:
        host.do(links.delete(names.port(lab, names.NODES.index(node) + 1)))
    netns.delete(names.namespace(lab, node))


def set_link(spec: Spec, node: Node, up: bool) -> None:
    """Pull or plug the node's cable, on the host's end."""
    with Netlink() as host:
        host.do(links.change(names.port(spec.name, node.index), up=up))


@contextmanager
def _open(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

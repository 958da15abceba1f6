"""rtnetlink packed by hand: links, addresses, routes, rules and neighbours without a process, a fork or a library.

Owns: the netlink wire, one socket session, builders (pure) for the requests a node needs. Must never know
Kubernetes, nor decide what a network should look like.

    with Netlink(netns.path_of("blue")) as kernel:  # Netlink(): this process's namespace
        bridge = kernel.index("cni0")
        kernel.do(  # one batch: sent together, the first refusal is raised
            links.add_veth(End("veth0", master=bridge), End("eth0", namespace=descriptor)),
            links.set_port("veth0", hairpin=True),
        )
        kernel.do(routes.add_address(bridge, ip_interface("10.0.0.1/24")))

A request is a value (`Request`): which errnos mean "already so" is part of it. Refusals are `NetlinkError`
(an OSError) with what was asked and the kernel's explanation. Opening a `Netlink` in another namespace costs
a thread and no fork.

Reading order: wire, links, vlans, routes, rules, vxlan, tc, elements (of nftables), session, events (what others
changed).
"""

from apimachinery.kit.netlink import elements, links, routes, rules, tc, vlans, vxlan, wire
from apimachinery.kit.netlink.links import End, Link
from apimachinery.kit.netlink.routes import LinkAddress, Neighbour, Route
from apimachinery.kit.netlink.rules import Rule
from apimachinery.kit.netlink.session import Netlink
from apimachinery.kit.netlink.vxlan import FarEnd, Tunnel
from apimachinery.kit.netlink.wire import NetlinkError, Request

__all__ = [
    "End",
    "FarEnd",
    "Link",
    "LinkAddress",
    "Neighbour",
    "Netlink",
    "NetlinkError",
    "Request",
    "Route",
    "Rule",
    "Tunnel",
    "elements",
    "links",
    "routes",
    "rules",
    "tc",
    "vlans",
    "vxlan",
    "wire",
]

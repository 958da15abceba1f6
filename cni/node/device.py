"""Makes the vxlan device, and what the kernel knows of the far ends, the wanted ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from apimachinery.kit import netns
from apimachinery.kit.netlink import End, Link, Netlink, NetlinkError, Request, links, routes, rules, vxlan
from apimachinery.kit.netlink.routes import Interface
from apimachinery.kit.netlink.vxlan import Tunnel
from cni.node import plan
from cni.node.overlay import TABLE, Entries, Steering

ALIAS = "wherry pod network"


class NotOurs(Exception):
    """A link of the device's name was made by somebody else, and stays."""


@dataclass(frozen=True)
class Look:
    """How the device shall be."""

    name: str
    mac: str
    mtu: int
    tunnel: Tunnel
    address: Interface | None = None
    """IPv4; loose checking of the way back is strict on a link without any (fib_validate_source in the kernel)"""


def ensure(kernel: Netlink, look: Look) -> int:
    """The index of the device, up. One that cannot be changed to what is wanted is made anew. NotOurs."""
    link = find(kernel, look.name)
    if link is not None and vxlan.tunnel_of(link) != look.tunnel:
        kernel.do(links.delete(link.index))
        link = None
    if link is None:
        kernel.do(vxlan.add(End(look.name, mac=look.mac, mtu=look.mtu, up=False), look.tunnel))
        index = kernel.index(look.name)
        kernel.do(links.change(index, alias=ALIAS))
        check_way_back_loosely(look.name)
        kernel.do(links.change(index, up=True))
        link = kernel.ask(links.get(index), links.parse)
    if (link.mac, link.mtu, link.up) != (look.mac, look.mtu, True):
        kernel.do(links.change(link.index, mac=look.mac, mtu=look.mtu, up=True))
    ensure_address(kernel, link.index, look.address)
    return link.index


def ensure_address(kernel: Netlink, link: int, wanted: Interface | None) -> None:
    """The device's one IPv4 address."""
    present = [a.interface for a in kernel.addresses(link) if a.interface.version == 4]
    if wanted is not None and wanted not in present:
        kernel.do(routes.add_address(link, wanted, answering_only=True))
    kernel.do(*(routes.delete_address(link, other) for other in present if other != wanted))


def find(kernel: Netlink, name: str) -> Link | None:
    """The device, None when there is none. NotOurs."""
    link = kernel.link(name)
    if link is not None and (link.kind != vxlan.KIND or link.alias not in (ALIAS, "")):
        raise NotOurs(f"{name} is a link of somebody else's: set vxlan.device to another name")
    return link


def remove(kernel: Netlink, name: str) -> None:
    """The device goes, and with it the routes through it."""
    if (link := find(kernel, name)) is not None:
        kernel.do(links.delete(link.index))


def fill(kernel: Netlink, link: int, wanted: Entries) -> list[NetlinkError]:
    """What is missing for sending; what nobody wants any more goes with `prune`, once no route leads there."""
    ends, known = set(kernel.far_ends(link)), _neighbours(kernel, link)
    missing = [vxlan.set_far_end(link, end) for end in wanted.far_ends if end not in ends]
    missing += [routes.set_neighbour(link, *each) for each in wanted.neighbours if each not in known]
    return _each(kernel, missing)


def steer(kernel: Netlink, wanted: Steering) -> list[NetlinkError]:
    """Make the rules for what pods send to nodes, and the table they ask, the wanted ones."""
    present = kernel.routes(protocol=plan.PROTOCOL, table=TABLE)
    change = plan.changes(present, wanted.routes)
    refused = _each(kernel, map(routes.replace_route, change.set))
    have = kernel.rules(plan.PROTOCOL)
    refused += _each(kernel, (rules.add(rule) for rule in wanted.rules if rule not in have))
    refused += _each(kernel, (rules.delete(rule) for rule in have if rule not in wanted.rules))
    return refused + _each(kernel, map(routes.delete_route, change.delete))


def prune(kernel: Netlink, link: int, wanted: Entries) -> list[NetlinkError]:
    """Forget far ends that are not wanted."""
    macs = {end.mac for end in wanted.far_ends}
    gone = [vxlan.delete_far_end(link, end) for end in kernel.far_ends(link) if end.mac not in macs]
    addresses = {address for address, _ in wanted.neighbours}
    old = (address for address, _ in _neighbours(kernel, link) if address not in addresses)
    return _each(kernel, [*gone, *(routes.delete_neighbour(link, address) for address in old)])


def _neighbours(kernel: Netlink, link: int) -> set[tuple[routes.Address, str]]:
    """Those that were set for good, on this link."""
    found = (n for n in kernel.neighbours() if n.link == link and n.state & routes.NUD_PERMANENT)
    return {(n.address, n.mac) for n in found}


def check_way_back_loosely(name: str) -> None:
    """Where a host checks packets' way back strictly, it would miss that nodes' own addresses come in here."""
    for setting, value in (("ipv4.conf.{}.rp_filter", 2), ("ipv6.conf.{}.disable_ipv6", 0)):
        # Without IPv6 its half is missing.
        with contextlib.suppress(FileNotFoundError):
            netns.write_sysctl(None, f"net.{setting.format(name.replace('.', '/'))}", value)


def _each(kernel: Netlink, requests: Iterable[Request]) -> list[NetlinkError]:
    """One that is refused keeps no other from being carried out."""
    refused = []
    for request in requests:
        try:
            kernel.do(request)
        except NetlinkError as problem:
            refused.append(problem)
    return refused

"""Puts load balancers' addresses on nodes and takes them off: the kernel then answers for them (ARP, NDP).

An address is on one node at a time. It is there to be answered for alone: the node never sends from it by choice.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink, links, routes
from lab import names
from lab.cloud import packets
from lab.cloud.plan import Range, Shift

log = logging.getLogger(__name__)

HOP_LIMIT = 255


class Announcer:
    """The nodes' links of one lab. Synchronous: a few netlink requests each."""

    def __init__(self, lab: str, link: str = names.UPLINK) -> None:
        self._lab = lab
        self._link = link

    def there(self, nodes: Iterable[str], pool: Collection[Range]) -> dict[str, set[str]]:
        """The pool's addresses that each node has; a node without a namespace has none."""
        found: dict[str, set[str]] = {}
        for node in nodes:
            try:
                with Netlink(self._path(node)) as kernel:
                    own = [each.interface.ip for each in kernel.addresses(kernel.index(self._link))]
            except OSError as error:
                log.debug("addresses of %s: %s", node, error)
                continue
            found[node] = {str(ip) for ip in own if any(ip in each for each in pool)}
        return found

    def carry_out(self, shift: Shift) -> list[tuple[str, str]]:
        """Take, then give; answers what was given. What could not be taken from a node is not given to another."""
        stuck = {address for node, address in shift.take if not self._change(node, address, there=False)}
        return [(n, a) for n, a in shift.give if a not in stuck and self._change(n, a, there=True)]

    def announce(self, node: str, address: str) -> None:
        """Tell the node's neighbours. Raises OSError."""
        with Netlink(self._path(node)) as kernel:
            link = kernel.ask(links.get(self._link), links.parse)
        mac, found = links.mac_bytes(link.mac), ipaddress.ip_address(address)
        if isinstance(found, ipaddress.IPv4Address):
            arguments = (socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC)
            with closing(netns.open_socket(self._path(node), *arguments)) as wire:
                wire.bind((self._link, 0))
                wire.send(packets.arp_announcement(found, mac))
            return
        raw = (socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6)
        with closing(netns.open_socket(self._path(node), *raw)) as wire:
            wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
            wire.bind((address, 0))
            message = packets.neighbour_advertisement(found, mac)
            wire.sendto(message, (packets.ALL_NODES, 0, 0, link.index))

    def _change(self, node: str, address: str, there: bool) -> bool:
        host = ipaddress.ip_interface(address)
        try:
            with Netlink(self._path(node)) as kernel:
                index = kernel.index(self._link)
                kernel.do(
                    routes.add_address(index, host, answering_only=True)
                    if there
                    else routes.delete_address(index, host)
                )
        except OSError as error:
            log.warning("%s: %s", node, error)
            # Who has no namespace any more has no address either.
            return not there and not self._path(node).exists()
        log.info("%s %s %s", node, "announces" if there else "gives up", address)
        return True

    def _path(self, node: str) -> Path:
        return netns.path_of(names.namespace(self._lab, node))

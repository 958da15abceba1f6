"""Which of the kernel's notifications concern this node's network. Pure: messages in, a notice out.

What others do is told in the same messages as what we do ourselves; the answer to a notice is to compare and to write
only differences, so that our own changes come to rest after one look.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from apimachinery.kit.netlink import Link, events, links, routes, rules
from apimachinery.kit.netlink.routes import Network
from apimachinery.kit.netlink.wire import Reply
from cni.bridge import plan as bridge_plan
from cni.host import RETIRED_GROUP
from cni.hostlocal.store import Owner
from cni.node.plan import PROTOCOL

_KERNEL, _LOCAL_TABLE, _LINK_SCOPE = 2, 255, 253
# A veth before it has its alias, and one that `retire` has renamed.
_POD_LINK = re.compile(r"veth[0-9a-f]{11}|gone[0-9a-f]{10}")


@dataclass(frozen=True)
class LostInterface:
    """A pod's interface that is gone from the kernel without a runtime's DEL: the pod has no network any more.

    `network` is the CNI network's name, `container_id` the sandbox's, `link` the name its end in the node had.
    """

    network: str
    container_id: str
    ifname: str
    link: str


def missing(
    held: Iterable[Owner], present: Iterable[Link], network: str, sandboxes: Collection[str]
) -> list[LostInterface]:
    """Of the attachments that hold an address in `network`, those of `sandboxes` without their link among `present`."""
    names = {link.name for link in present}
    found = []
    for owner in sorted(held, key=str):
        link = bridge_plan.host_name(network, owner.container_id, owner.ifname)
        if owner.container_id in sandboxes and link not in names:
            found.append(LostInterface(network, owner.container_id, owner.ifname, link))
    return found


@dataclass
class Notice:
    """What a number of messages are about. Nothing set: nothing of ours."""

    network: bool = False
    """bridge, its addresses, or routes"""
    settings: bool = False
    """forwarding"""
    ports: set[int] = field(default_factory=set)
    """indexes of pod links that look out of place"""
    pods: bool = False
    """which links are pods'"""
    lost: list[LostInterface] = field(default_factory=list)


def port_of(link: Link, network: str) -> LostInterface | None:
    """Whose interface a link is, None when it is no pod's of this network or has been taken out of service."""
    found = bridge_plan.attachment_of(link.alias)
    if found is None or found[0] != network or link.group == RETIRED_GROUP:
        return None
    return LostInterface(*found, link.name)


def in_place(link: Link, bridge: int, mtu: int = 0) -> bool:
    """Whether a pod's link is up, in the bridge with this index, may send packets back where they came from, and takes
    packets of the network's size (0: any)."""
    return link.up and link.master == bridge and link.hairpin and mtu in (0, link.mtu)


def _lasting(link: Link) -> Link:
    """A link without what comes and goes with its carrier."""
    return replace(link, flags=link.flags & links.IFF_PROMISC)


class Watcher:
    """Remembers which links are pods'. `bridge` is the index the bridge has now, 0 for none."""

    def __init__(self, bridge_name: str, network: str) -> None:
        self._bridge_name = bridge_name
        self._network = network
        self._pod_links: dict[int, LostInterface | None] = {}
        self._other_links: dict[int, Link] = {}
        self.bridge = 0
        self.mtu = 0
        """of pods' links, 0 while it is not known"""
        self.tunnels: frozenset[int] = frozenset()
        """indexes of the devices by which packets go to other nodes"""
        self.destinations: frozenset[Network] = frozenset()
        """of the routes we want"""
        self.forwarding: frozenset[int] = frozenset()
        """indexes of the links that have to forward"""

    @property
    def pods(self) -> dict[int, str]:
        """Names of the pods' links, by index."""
        return {index: port.link for index, port in self._pod_links.items() if port is not None}

    def feed(self, messages: Iterable[Reply]) -> Notice:
        """Judge messages in the order in which they came."""
        notice = Notice()
        for message in messages:
            if message.type in (links.RTM_NEWLINK, links.RTM_DELLINK):
                self._link(message, notice)
            elif message.type in (routes.RTM_NEWADDR, routes.RTM_DELADDR):
                family, scope, index = struct.unpack_from("=BxxBI", message.payload)
                # In IPv6, addresses of a link alone are the kernel's, made anew whenever a link comes up.
                passing = family == socket.AF_INET6 and scope == _LINK_SCOPE
                notice.network |= not passing and index not in self._pod_links
            elif message.type in (routes.RTM_NEWROUTE, routes.RTM_DELROUTE):
                notice.network |= self._is_our_route(message)
            elif message.type in (rules.RTM_NEWRULE, rules.RTM_DELRULE):
                notice.network |= bool(self.tunnels)
            elif message.type in (routes.RTM_NEWNEIGH, routes.RTM_DELNEIGH):
                notice.network |= struct.unpack_from("=4xi", message.payload)[0] in self.tunnels
            elif message.type == events.RTM_NEWNETCONF:
                notice.settings |= events.forwarding_of(message) in (events.ALL_LINKS, *self.forwarding)
        return notice

    def reset(self, present: Iterable[Link]) -> Notice:
        """Begin anew from a listing, after notifications were lost or before the first."""
        before, notice = self._pod_links, Notice(network=True, settings=True)
        self._pod_links = {}
        self._other_links = {}
        for link in present:
            if _POD_LINK.fullmatch(link.name):
                self._note(link, notice)
            else:
                self._other_links[link.index] = _lasting(link)
        known = (port for index, port in before.items() if port and index not in self._pod_links)
        notice.lost.extend(known)
        return notice

    def _link(self, message: Reply, notice: Notice) -> None:
        index = struct.unpack_from("=i", message.payload, 4)[0]
        if message.payload[0] == socket.AF_BRIDGE:
            # The bridge's own word on a port, without the rest of the link.
            if self._pod_links.get(index):
                notice.ports.add(index)
            return
        link = links.parse(message)
        if index not in self._pod_links and not _POD_LINK.fullmatch(link.name):
            self._other(message, link, notice)
        elif message.type == links.RTM_NEWLINK:
            self._note(link, notice)
        else:
            self._pod_links.pop(index, None)
            notice.ports.discard(index)
            notice.pods = True
            if port := port_of(link, self._network):
                notice.lost.append(port)

    def _other(self, message: Reply, link: Link, notice: Notice) -> None:
        """The kernel tells of the bridge, too, whenever a port comes or goes: of each pod, that is."""
        if message.type == links.RTM_DELLINK:
            self._other_links.pop(link.index, None)
            notice.network = True
        elif self._other_links.get(link.index) != (lasting := _lasting(link)):
            self._other_links[link.index] = lasting
            notice.network = True

    def _note(self, link: Link, notice: Notice) -> None:
        before = self._pod_links.get(link.index)
        self._pod_links[link.index] = port = port_of(link, self._network)
        notice.pods |= port != before
        if port is not None and not in_place(link, self.bridge, self.mtu):
            notice.ports.add(link.index)

    def _is_our_route(self, message: Reply) -> bool:
        protocol = message.payload[5]
        if protocol == PROTOCOL:
            return True
        if message.payload[4] == _LOCAL_TABLE or (protocol == _KERNEL and message.type == routes.RTM_NEWROUTE):
            return False
        route = routes.parse_route(message)
        return route is not None and route.table == routes.MAIN_TABLE and route.destination in self.destinations

"""The way to other nodes' pods: vxlan or WireGuard where that is the mode, what an earlier mode left beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from apimachinery.kit.netlink import Netlink, Route
from apimachinery.kit.netlink.routes import Address, Network
from cni.node import device
from cni.node.byvxlan import ByVxlan
from cni.node.bywireguard import ByWireguard
from cni.node.model import ANNOTATION, KEY_ANNOTATION, NodeNetwork
from cni.settings import Settings

ETHERNET_MTU = 1500
Announce = Callable[[str, str | None], Awaitable[None]]
"""Writes an annotation (name, value) of this node's own Node; None takes it away. Raises ApiError or Unreachable."""


class Between:
    """One node's."""

    def __init__(self, settings: Settings, kernel: Netlink) -> None:
        self._settings = settings
        self._kernel = kernel
        self._vxlan = ByVxlan(settings, kernel)
        self._wireguard = ByWireguard(settings, kernel)

    @property
    def links(self) -> frozenset[int]:
        """Indexes of the devices."""
        return frozenset({self._vxlan.link, self._wireguard.link} - {0})

    @property
    def sources(self) -> tuple[tuple[str, Address], ...]:
        """(device by which this node sends, as whom), one of each IP version."""
        return (*self._vxlan.sources, *self._wireguard.sources)

    @property
    def tunnel_port(self) -> int:
        """UDP, of vxlan; 0 without a device."""
        return self._settings.vxlan.port if self._vxlan.link else 0

    def mtu(self, own: NodeNetwork) -> int:
        """Bytes, of pods' links and the bridge: the setting, or what fits through the link with the node's address."""
        if self._settings.mtu:
            return self._settings.mtu
        indexes = [a.index for a in self._kernel.addresses() if a.interface.ip in own.addresses[:1]]
        link = self._kernel.link(indexes[0]) if indexes else None
        return self._wireguard.mtu(own, self._vxlan.mtu(own, link.mtu if link else ETHERNET_MTU))

    def prepare(self, own: NodeNetwork, nodes: Sequence[NodeNetwork]) -> set[str]:
        """The devices and all they must know, before a route leads there; what went wrong, in words."""
        mtu = self.mtu(own)
        problems = self._vxlan.prepare(own, nodes, mtu) | self._wireguard.prepare(own, nodes, mtu)
        wanted = self._vxlan.steering | self._wireguard.steering
        return problems | {f"pod network: {refused}" for refused in device.steer(self._kernel, wanted)}

    def route(self, node: NodeNetwork, cidr: Network) -> Route | None:
        """The route to a node's pods by a device, if that is the way to it."""
        return self._vxlan.route(node, cidr) or self._wireguard.route(node, cidr)

    def finish(self, own: str, nodes: Sequence[NodeNetwork]) -> set[str]:
        """Forget what no route needs any more."""
        return self._vxlan.finish(own, nodes) | self._wireguard.finish(own, nodes)

    def announcements(self, own: NodeNetwork) -> dict[str, str | None]:
        """By annotation: what this node's Node has to say."""
        return {ANNOTATION: self._vxlan.announcement(own), KEY_ANNOTATION: self._wireguard.announcement()}

    def is_waiting(self) -> bool:
        """Whether something is about to change of which nothing tells."""
        return self._wireguard.is_waiting()

    def close(self) -> None:
        """Devices stay."""
        self._wireguard.close()

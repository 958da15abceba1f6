"""The way to other nodes' pods by vxlan: keeps the device where that is the mode, and takes it away when it is idle."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery.kit.netlink import Netlink, NetlinkError, Route, Tunnel
from apimachinery.kit.netlink.routes import Address, Network
from cni.node import device, overlay
from cni.node.device import Look, NotOurs
from cni.node.model import NodeNetwork
from cni.node.overlay import Entries, Steering
from cni.settings import Mode, Settings


class ByVxlan:
    """One node's. `link` is the index of its device, 0 without one; `steering` what leads pods' packets to nodes."""

    def __init__(self, settings: Settings, kernel: Netlink) -> None:
        self._settings = settings
        self._kernel = kernel
        self._tunnel: Tunnel | None = None
        self._sources: tuple[Address, ...] = ()
        self._entries = Entries()
        self.steering = Steering()
        self.link = 0

    def mtu(self, own: NodeNetwork, underlay: int) -> int:
        return overlay.mtu(underlay, self._wanted(own))

    def prepare(self, own: NodeNetwork, nodes: Sequence[NodeNetwork], mtu: int) -> set[str]:
        """The device and all it must know, before a route leads there; what went wrong, in words."""
        self._tunnel, self.steering = self._wanted(own), Steering()
        try:
            if self._tunnel is None:
                return self._idle()
            name, address = self._settings.vxlan.device, overlay.own_gateway(own)
            look = Look(name, overlay.mac_of(own.name), mtu, self._tunnel, address)
            self.link = device.ensure(self._kernel, look)
        except (OSError, NotOurs) as problem:
            self._tunnel = None
            return {f"vxlan: {problem}"}
        local = {a.interface.ip for a in self._kernel.addresses()}
        self._sources = tuple(a for a in own.addresses if a in local)
        self._entries = overlay.entries(own, nodes, self._tunnel, self.link)
        self.steering = overlay.steering(own, self._entries.routes)
        return {f"vxlan: {refused}" for refused in device.fill(self._kernel, self.link, self._entries)}

    @property
    def sources(self) -> tuple[tuple[str, Address], ...]:
        """(device, as whom this node sends by it), one of each IP version; nothing while it does not."""
        return tuple((self._settings.vxlan.device, a) for a in overlay.first_of_each(self._sources) if self._tunnel)

    def route(self, node: NodeNetwork, cidr: Network) -> Route | None:
        """The route to a node's pods by the device, if that is the way to it."""
        if self._tunnel is None:
            return None
        return overlay.route_through(node, cidr, self._tunnel, self.link, self._sources)

    def finish(self, own: str, nodes: Sequence[NodeNetwork]) -> set[str]:
        """Forget what no route needs any more. A device that this node no longer sends by stays until no other
        announces one: until then packets may come in by it."""
        try:
            if self._tunnel is not None:
                return {str(refused) for refused in device.prune(self._kernel, self.link, self._entries)}
            if self.link and not any(n.mac for n in nodes if n.name != own):
                device.remove(self._kernel, self._settings.vxlan.device)
                self.link = 0
        except (NetlinkError, NotOurs) as problem:
            return {f"vxlan: {problem}"}
        return set()

    def announcement(self, own: NodeNetwork) -> str | None:
        """What this node's Node has to say: something once the device stands."""
        return overlay.announcement(own.name, self._tunnel) if self._tunnel is not None else None

    def _wanted(self, own: NodeNetwork) -> Tunnel | None:
        if self._settings.mode is not Mode.VXLAN or not own.addresses:
            return None
        return Tunnel(self._settings.vxlan.number, self._settings.vxlan.port, own.addresses[0])

    def _idle(self) -> set[str]:
        """What an earlier mode left: nothing is sent by the device any more."""
        found = device.find(self._kernel, self._settings.vxlan.device)
        self.link = found.index if found else 0
        self._entries = Entries()
        refused = device.fill(self._kernel, self.link, self._entries) if self.link else []
        return {f"vxlan: {each}" for each in refused}

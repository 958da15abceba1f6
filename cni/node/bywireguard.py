"""The way to other nodes' pods by WireGuard: keeps the device, its key and its peers where the mode is wireguard."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from apimachinery.kit.files import write_atomic
from apimachinery.kit.netlink import End, Netlink, NetlinkError, Route, links
from apimachinery.kit.netlink.routes import Address, Network
from apimachinery.kit.wireguard import KEY_BYTES, KIND, Device, Peer, Wireguard, add, delete_peer, set_device, set_peer
from cni.node import device, wireguard
from cni.node.device import ALIAS, NotOurs
from cni.node.model import NodeNetwork
from cni.node.overlay import Steering, first_of_each, steering
from cni.settings import Mode, Settings

log = logging.getLogger(__name__)
KEY_FILE = "wireguard.key"
# Seconds for which a new peer is waited for with frequent looks; it answers within five, or is off.
PATIENCE = 60.0


class ByWireguard:
    """One node's. `link` is the index of its device, 0 without one; `steering` what leads pods' packets to nodes."""

    def __init__(self, settings: Settings, kernel: Netlink) -> None:
        self._settings = settings
        self._kernel = kernel
        self._control: Wireguard | None = None
        self._device = Device()
        self._active, self._idle = False, True
        self._sources: tuple[Address, ...] = ()
        self._old: set[str] = set()
        self._proved: set[str] = set()
        self._since: dict[str, float] = {}
        self.steering = Steering()
        self.link = 0

    def mtu(self, own: NodeNetwork, underlay: int) -> int:
        return wireguard.mtu(underlay, own.addresses[0]) if self._wanted(own) else underlay

    def prepare(self, own: NodeNetwork, nodes: Sequence[NodeNetwork], mtu: int) -> set[str]:
        """The device and its peers, before a route leads there; what went wrong, in words. What was sent encrypted
        before is not sent in the clear then."""
        self._active = self._wanted(own)
        self._idle = not self._active
        try:
            if self._idle:
                self.steering = Steering()
                found = self._find()
                self.link = found.index if found else 0
                return set()
            self.link = self._ensure(own, mtu)
            control = self._opened()
            self._device = control.device(self.link)
            wanted = wireguard.peers(own, nodes)
            self._meet(control, wanted)
        except (OSError, NotOurs) as problem:
            self._active = False
            return {f"wireguard: {problem}"}
        local = {a.interface.ip for a in self._kernel.addresses()}
        self._sources = tuple(a for a in own.addresses if a in local)
        through = [n for n in nodes if n.name in self._proved and n.name != own.name]
        self.steering = steering(own, wireguard.routes_to_nodes(through, self.link))
        return set()

    @property
    def sources(self) -> tuple[tuple[str, Address], ...]:
        """(device, as whom this node sends by it), one of each IP version; nothing while it does not."""
        return tuple((self._settings.wireguard.device, a) for a in first_of_each(self._sources) if self._active)

    def route(self, node: NodeNetwork, cidr: Network) -> Route | None:
        """The route to a node's pods by the device, if that is the way to it."""
        if self._settings.mode is not Mode.WIREGUARD or node.name not in self._proved or not node.key:
            return None
        return wireguard.route_through(cidr, self.link, self._sources)

    def finish(self, own: str, nodes: Sequence[NodeNetwork]) -> set[str]:
        """Forget peers that no route leads to any more. A device that this node no longer sends by stays until no other
        announces one."""
        try:
            if self._active and self._old:
                self._opened().do(*((delete_peer(self.link, key), "forget a peer") for key in sorted(self._old)))
            if self._idle and self.link and not any(n.key for n in nodes if n.name != own):
                self._kernel.do(links.delete(self.link))
                self.link = 0
                self._proved.clear()
        except NetlinkError as problem:
            return {f"wireguard: {problem}"}
        return set()

    def announcement(self) -> str | None:
        """What this node's Node has to say: something once the device stands, and from then on: to one that takes it
        back others send in the clear."""
        if self._settings.mode is not Mode.WIREGUARD or not self._device.key:
            return None
        return wireguard.announcement(self._device.key, self._settings.wireguard.port)

    def is_waiting(self) -> bool:
        """Whether a peer may prove itself at any moment, of which nothing tells."""
        now = time.monotonic()
        return self._active and any(now - since < PATIENCE for since in self._since.values())

    def close(self) -> None:
        """The device stays: pods keep talking while the daemon restarts."""
        if self._control is not None:
            self._control.close()
            self._control = None

    def _wanted(self, own: NodeNetwork) -> bool:
        return self._settings.mode is Mode.WIREGUARD and bool(own.addresses)

    def _opened(self) -> Wireguard:
        if self._control is None:
            self._control = Wireguard()
        return self._control

    def _find(self) -> links.Link | None:
        link = self._kernel.link(self._settings.wireguard.device)
        if link is not None and (link.kind != KIND or link.alias not in (ALIAS, "")):
            raise NotOurs(f"{link.name} is a link of somebody else's: set wireguard.device to another name")
        return link

    def _ensure(self, own: NodeNetwork, mtu: int) -> int:
        name = self._settings.wireguard.device
        link = self._find()
        if link is None:
            self._kernel.do(add(End(name, mtu=mtu, up=False)))
            self._kernel.do(links.change(self._kernel.index(name), alias=ALIAS))
            link = self._kernel.ask(links.get(name), links.parse)
        device.check_way_back_loosely(name)
        control, private, port = self._opened(), key_in(self._settings.run_dir), self._settings.wireguard.port
        control.do((set_device(link.index, private, port), f"give {name} its key and port {port}"))
        if (link.mtu, link.up) != (mtu, True):
            self._kernel.do(links.change(link.index, mtu=mtu, up=True))
        device.ensure_address(self._kernel, link.index, wireguard.own_address(own))
        return link.index

    def _meet(self, control: Wireguard, wanted: dict[str, Peer]) -> None:
        """Tell the device its peers; who has proved himself is known by what the kernel says of the key."""
        have = {peer.key: peer for peer in self._device.peers}
        self._old = have.keys() - {peer.key for peer in wanted.values()}
        missing = [(name, peer) for name, peer in wanted.items() if have.get(peer.key) != peer]
        control.do(*((set_peer(self.link, peer), f"make {name} a peer") for name, peer in missing))
        heard = {name for name, peer in wanted.items() if peer.key in have and have[peer.key].heard}
        for name in sorted(heard - self._proved):
            log.info("packets for %s are encrypted from now on", name)
        self._proved |= heard
        self._since = {n: self._since.get(n, time.monotonic()) for n in wanted if n not in heard}


def key_in(run_dir: Path) -> bytes:
    """This node's private key, made where there is none: for root's eyes, and gone with the machine's life."""
    path = run_dir / KEY_FILE
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        found = b""
    if len(found) != KEY_BYTES:
        found = os.urandom(KEY_BYTES)
        run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(path, found, 0o600)
    return found

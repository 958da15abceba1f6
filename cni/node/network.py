"""The loop: a Node changes, or somebody changes the kernel, and this node's own network and routes follow."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable, Collection, Sequence

from apimachinery.informer import Informer
from apimachinery.kit.netlink import Netlink, events, routes
from apimachinery.kit.netlink.routes import Interface
from apimachinery.kit.nft import NftError
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj
from cni import install
from cni.bridge import plugin as bridge
from cni.bridge.config import Config
from cni.bridge.plan import Attachment
from cni.hostlocal.store import DiskStore, Owner
from cni.node import plan, ports, sysctls, watch
from cni.node.masquerade import Masquerade
from cni.node.model import NodeNetwork, extract
from cni.node.routes import apply
from cni.node.watch import LostInterface, Notice, Watcher
from cni.portmap import rules
from cni.settings import Settings
from cni.types import CniError

log = logging.getLogger(__name__)

# Seconds until what the kernel refused is tried again.
RETRY_PERIOD = 10.0
# Seconds between two looks when nothing was told: a net under the notifications, which does not have to catch anything.
SAFETY_PERIOD = 300.0
# Seconds between two repairs, so that changes which come together are mended together and no fight with another
# program takes more than a little of the machine.
PAUSE = 0.05


class NodeNetworking:
    """Follows the Node informer and the kernel. Start `run` in the node's network namespace, once.

    `on_lost` hears of each pod interface that vanished without a runtime's DEL.
    """

    def __init__(
        self, settings: Settings, nodes: Informer, on_lost: Callable[[LostInterface], None] = lambda _: None
    ) -> None:
        self._settings = settings
        self._nodes = nodes
        self._on_lost = on_lost
        self._kernel = Netlink()
        self._masquerade = Masquerade(settings.bridge)
        self._cluster = tuple(ipaddress.ip_network(c) for c in settings.cluster_cidr)
        self._watcher = Watcher(settings.bridge, install.NETWORK)
        self._doubts = Notice(network=True, settings=True)
        self._changed = asyncio.Event()
        self._complaints: set[str] = set()
        nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """Nothing is changed before every Node is known: a half list would delete good routes."""
        await self._nodes.wait_synced()
        work = [self._listen(), self._masquerade.watch(self._doubt), self._keep()]
        if self._settings.node_name:
            work.append(sysctls.watch_bridge_filter(self._doubt_settings))
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def missing(self, sandboxes: Collection[str]) -> list[LostInterface]:
        """Of these sandboxes (ids) those that hold an address of this network and whose interface is gone: what
        happened while nobody listened. Only sandboxes that are neither just being made nor being taken away tell
        anything. A look that fails is logged, and finds nothing."""
        try:
            held = await asyncio.to_thread(self._held)
            return watch.missing(held, self._kernel.links(), install.NETWORK, sandboxes)
        except (OSError, CniError) as problem:
            log.warning("cannot compare pods' addresses with their interfaces: %s", problem)
            return []

    def _held(self) -> set[Owner]:
        store = DiskStore(self._settings.data_dir, install.NETWORK)
        with store.lock():
            return {owner for owner in store.taken().values() if owner is not None}

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            await self.sync()
            await asyncio.sleep(PAUSE)
            await is_set_within(self._changed, RETRY_PERIOD if self._complaints else SAFETY_PERIOD)
            if not self._changed.is_set():
                self._heed(self._watcher.reset(self._kernel.links()))

    async def _listen(self) -> None:
        with contextlib.closing(events.subscribe(socket.NETLINK_ROUTE, events.EVERYTHING)) as listening:
            # Only now: what comes after this listing is told.
            self._heed(self._watcher.reset(self._kernel.links()))
            async for messages in events.changes(listening):
                if messages is None:
                    self._heed(self._watcher.reset(self._kernel.links()))
                else:
                    self._heed(self._watcher.feed(messages))

    def _heed(self, notice: Notice) -> None:
        self._doubts.network |= notice.network
        self._doubts.settings |= notice.settings
        self._doubts.ports |= notice.ports
        for lost in notice.lost:
            log.warning("the interface %s of sandbox %s is gone", lost.ifname, lost.container_id)
            self._on_lost(lost)
        if notice.network or notice.settings or notice.ports:
            self._changed.set()

    async def sync(self) -> None:
        """Look at what is in doubt, and write what differs."""
        doubts, self._doubts = self._doubts, Notice()
        problems: set[str] = set()
        if doubts.network:
            problems |= await self._network()
        if doubts.network or doubts.settings:
            forwarding = self._forwarding_links()
            doubts.settings |= self._watcher.forwarding != forwarding.keys()
            self._watcher.forwarding = frozenset(forwarding)
            if doubts.settings:
                problems |= sysctls.keep(sysctls.names(bool(self._settings.node_name), forwarding.values()))
        if doubts.ports and self._watcher.bridge:
            problems |= ports.repair(self._kernel, doubts.ports, self._watcher.bridge, install.NETWORK)
        self._complain(problems)

    async def _network(self) -> set[str]:
        nodes = tuple(sorted(map(extract, self._nodes.items()), key=lambda n: n.name))
        own = next((n for n in nodes if self._settings.node_name and n.name == self._settings.node_name), None)
        problems: set[str] = set()
        # The bridge first: without it there is no way for the routes of pods to come back in.
        if own is not None and own.cidrs:
            problems |= await self._own_network(own, nodes)
        problems |= {str(p) for p in apply(self._kernel, self._settings.node_name, nodes, self._cluster)}
        wanted = plan.wanted(self._settings.node_name, nodes, self._cluster)
        self._watcher.destinations = frozenset([*(r.destination for r in wanted), *(own.cidrs if own else ())])
        return problems

    async def _own_network(self, own: NodeNetwork, nodes: Sequence[NodeNetwork]) -> set[str]:
        """Bridge, masquerade, then the conflist, whose presence tells the runtime that pods can start."""
        gateways = tuple(ipaddress.ip_interface((c[1], c.prefixlen)) for c in own.cidrs)
        what = Attachment("", "", "", (), gateways, (), (), {})
        config = Config(bridge=self._settings.bridge, is_gateway=True, force_address=True, mtu=self._settings.mtu)
        problems = set()
        try:
            link = bridge.ensure_bridge(self._kernel, config, what)
            self._ensure_connected(link.index, gateways)
            if link.index != self._watcher.bridge:
                self._watcher.bridge = link.index
                self._heed(self._watcher.reset(self._kernel.links()))
                # Host ports need a setting of the bridge's, and this is another bridge.
                await asyncio.to_thread(rules.of(self._settings.run_dir).restore)
            if self._settings.masquerade:
                addresses = [a for n in nodes for a in n.addresses]
                await self._masquerade.keep(own.cidrs, self._cluster, addresses)
        except (OSError, CniError, NftError, asyncio.TimeoutError) as problem:
            problems.add(f"pod network: {problem or type(problem).__name__}")
        written = await asyncio.to_thread(install.install_conflist, self._settings, [str(c) for c in own.cidrs])
        if written:
            log.info("pod network %s is ready on %s", ", ".join(map(str, own.cidrs)), self._settings.bridge)
        return problems

    def _ensure_connected(self, link: int, gateways: Sequence[Interface]) -> None:
        """The routes that the kernel makes with the addresses can be deleted by themselves."""
        present = {r.destination for r in self._kernel.routes() if r.link == link}
        for route in plan.connected(link, gateways):
            if route.destination not in present:
                self._kernel.do(routes.replace_route(route))

    def _forwarding_links(self) -> dict[int, str]:
        """Index and name of the bridge and of the links by which packets go to other nodes."""
        indexes = {r.link for r in self._kernel.routes(protocol=plan.PROTOCOL) if r.gateway} | {self._watcher.bridge}
        found = (self._kernel.link(index) for index in sorted(indexes - {0}))
        return {link.index: link.name for link in found if link}

    def _doubt(self) -> None:
        self._heed(Notice(network=True))

    def _doubt_settings(self) -> None:
        self._heed(Notice(settings=True))

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        # Status heartbeats change Nodes all the time; only what the network is made of matters.
        if old is None or new is None or extract(old) != extract(new):
            self._doubt()

    def _complain(self, problems: set[str]) -> None:
        """Each trouble once, not at each look."""
        for problem in sorted(problems - self._complaints):
            log.warning("%s", problem)
        self._complaints = problems

    async def close(self) -> None:
        """Routes stay: pods keep talking while their node's daemon restarts."""
        self._kernel.close()
        self._masquerade.close()

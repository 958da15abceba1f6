"""The loop: a Node changes, or somebody changes the kernel, and this node's own network and routes follow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Collection, Sequence

from apimachinery.errors import ApiError, Unreachable
from apimachinery.informer import Informer
from apimachinery.kit.netlink import Netlink, events
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj
from cni import install
from cni.hostlocal.store import DiskStore, Owner
from cni.node import plan, ports, sysctls, watch
from cni.node.between import Announce, Between
from cni.node.model import NodeNetwork, extract
from cni.node.own import OwnNetwork
from cni.node.routes import apply
from cni.node.watch import LostInterface, Notice, Watcher
from cni.portmap import rules
from cni.settings import Mode, Settings
from cni.types import CniError

log = logging.getLogger(__name__)

# Seconds until what the kernel refused is tried again.
RETRY_PERIOD = 10.0
# Seconds between two looks when nothing was told: a net under the notifications, which does not have to catch anything.
SAFETY_PERIOD = 300.0
# Seconds between two looks while something is about to change of which nothing tells.
WAITING_PERIOD = 0.5
# Seconds between two repairs, so that changes which come together are mended together and no fight with another
# program takes more than a little of the machine.
PAUSE = 0.05


class NodeNetworking:
    """Follows the Node informer and the kernel. Start `run` in the node's network namespace, once.

    `on_lost` hears of each pod interface that vanished without a runtime's DEL.
    """

    def __init__(
        self,
        settings: Settings,
        nodes: Informer,
        on_lost: Callable[[LostInterface], None] = lambda _: None,
        announce: Announce | None = None,
    ) -> None:
        self._settings = settings
        self._nodes = nodes
        self._on_lost = on_lost
        self._announce = announce
        self._kernel = Netlink()
        self._between = Between(settings, self._kernel)
        self._own = OwnNetwork(settings, self._kernel)
        self._watcher = Watcher(settings.bridge, install.NETWORK)
        self._doubts = Notice(network=True, settings=True)
        self._changed = asyncio.Event()
        self._complaints: set[str] = set()
        self._ways: dict[int, str] = {}
        nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """Nothing is changed before every Node is known: a half list would delete good routes."""
        await self._nodes.wait_synced()
        work = [self._listen(), self._own.masquerade.watch(self._doubt), self._keep()]
        work.append(self._own.flows.watch(self._doubt_pods))
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
        with self._store.lock():
            return {owner for owner in self._store.taken().values() if owner is not None}

    def _namespace_of(self, container_id: str) -> str:
        return self._store.note_of(container_id).path

    @property
    def _store(self) -> DiskStore:
        return DiskStore(self._settings.data_dir, install.NETWORK)

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            await self.sync()
            await asyncio.sleep(PAUSE)
            await is_set_within(self._changed, self._period())
            if not self._changed.is_set():
                self._heed(self._watcher.reset(self._kernel.links()))

    def _period(self) -> float:
        """Seconds until the next look, if nothing is told before."""
        if self._between.is_waiting():
            return WAITING_PERIOD
        return RETRY_PERIOD if self._complaints else SAFETY_PERIOD

    async def _listen(self) -> None:
        sends = self._settings.mode in (Mode.VXLAN, Mode.WIREGUARD) and bool(self._settings.node_name)
        groups = [*events.EVERYTHING, *([events.Group.NEIGHBOUR] if sends else [])]
        with contextlib.closing(events.subscribe(socket.NETLINK_ROUTE, groups)) as listening:
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
        self._doubts.pods |= notice.pods
        for lost in notice.lost:
            log.warning("the interface %s of sandbox %s is gone", lost.ifname, lost.container_id)
            self._on_lost(lost)
        if notice.network or notice.settings or notice.ports or notice.pods:
            self._changed.set()

    async def sync(self) -> None:
        """Look at what is in doubt, and write what differs."""
        doubts, self._doubts = self._doubts, Notice()
        problems: set[str] = set()
        if doubts.network:
            problems |= await self._network()
        if doubts.network or doubts.settings:
            self._ways = self._forwarding_links()
            doubts.settings |= self._watcher.forwarding != self._ways.keys()
            self._watcher.forwarding = frozenset(self._ways)
            if doubts.settings:
                node, steered = bool(self._settings.node_name), bool(self._between.links)
                problems |= sysctls.keep(sysctls.names(node, self._ways.values(), steered))
        if doubts.ports and self._watcher.bridge:
            bridge, mtu = self._watcher.bridge, self._watcher.mtu
            problems |= ports.repair(self._kernel, doubts.ports, bridge, install.NETWORK, mtu, self._namespace_of)
        if (doubts.network or doubts.pods) and self._watcher.bridge:
            problems |= await self._own.shorten(self._ways, self._watcher.pods)
        self._complain(problems)

    async def _network(self) -> set[str]:
        nodes = tuple(sorted(map(extract, self._nodes.items()), key=lambda n: n.name))
        name, none = self._settings.node_name, self._settings.mode is Mode.NONE
        own = next((n for n in nodes if name and n.name == name), None)
        # The bridge first: without it there is no way for the routes of pods to come back in.
        problems = await self._prepare(own, nodes) if own is not None else set()
        goal = () if none else plan.wanted(name, nodes, self._settings.ranges, self._between.route)
        problems |= {str(p) for p in apply(self._kernel, name, goal, self._settings.ranges)}
        self._watcher.destinations = frozenset([*(r.destination for r in goal), *(own.cidrs if own else ())])
        if own is not None:
            problems |= self._between.finish(own.name, nodes)
            problems |= await self._tell(own)
        self._watcher.tunnels = self._between.links
        return problems

    async def _prepare(self, own: NodeNetwork, nodes: Sequence[NodeNetwork]) -> set[str]:
        if self._settings.mode is Mode.NONE:
            return self._between.prepare(own, nodes) | await self._own.leave()
        if not own.cidrs:
            return set()
        mtu = self._between.mtu(own)
        problems = await self._bridge(own, mtu) | self._between.prepare(own, nodes)
        return problems | await self._own.open(own, nodes, mtu, self._between)

    async def _bridge(self, own: NodeNetwork, mtu: int) -> set[str]:
        try:
            index = self._own.bridge(own, mtu)
            another = index != self._watcher.bridge
            if another or mtu != self._watcher.mtu:
                self._watcher.bridge, self._watcher.mtu = index, mtu
                self._heed(self._watcher.reset(self._kernel.links()))
            if another:
                # Host ports need a setting of the bridge's, and this is another bridge.
                await asyncio.to_thread(rules.of(self._settings.run_dir).restore)
        except (OSError, CniError) as problem:
            return {f"pod network: {problem}"}
        return set()

    async def _tell(self, own: NodeNetwork) -> set[str]:
        """The Node says that this node takes packets by a device, as soon and as long as it does."""
        told = dict(own.announced)
        problems = set()
        for name, text in self._between.announcements(own).items():
            if text == told.get(name):
                continue
            if self._announce is None:
                if text:
                    problems.add("nobody can write this node's annotations: no other node sends to it by a device")
                continue
            try:
                await self._announce(name, text)
            except (ApiError, Unreachable) as problem:
                problems.add(f"cannot write {name} to the Node: {problem}")
        return problems

    def _forwarding_links(self) -> dict[int, str]:
        """Index and name of the bridge and of the links by which packets go to other nodes."""
        by_routes = {r.link for r in self._kernel.routes(protocol=plan.PROTOCOL) if r.gateway}
        indexes = by_routes | {self._watcher.bridge, *self._between.links}
        found = (self._kernel.link(index) for index in sorted(indexes - {0}))
        return {link.index: link.name for link in found if link}

    def _doubt(self) -> None:
        self._heed(Notice(network=True))

    def _doubt_pods(self) -> None:
        self._heed(Notice(pods=True))

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
        self._between.close()
        self._own.close()

"""The loop: a Node changes, the routes and this node's own network follow within milliseconds."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Sequence

from apimachinery.informer import Informer
from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink
from apimachinery.kit.nft import NftError
from apimachinery.kit.tasks import is_set_within
from apimachinery.objects import Obj
from cni import install
from cni.bridge import plugin as bridge
from cni.bridge.config import Config
from cni.bridge.plan import Attachment
from cni.node import routes
from cni.node.masquerade import Masquerade
from cni.node.model import NodeNetwork, extract
from cni.settings import Settings
from cni.types import CniError

log = logging.getLogger(__name__)

# Seconds until refused routes are tried again and foreign changes are mended; nothing waits for it otherwise.
REPAIR_PERIOD = 10.0


class NodeNetworking:
    """Follows the Node informer. Start `run` in the node's network namespace, once."""

    def __init__(self, settings: Settings, nodes: Informer) -> None:
        self._settings = settings
        self._nodes = nodes
        self._kernel = Netlink()
        self._masquerade = Masquerade(settings.bridge)
        self._cluster = tuple(ipaddress.ip_network(c) for c in settings.cluster_cidr)
        self._changed = asyncio.Event()
        self._complaints: set[str] = set()
        nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """Nothing is changed before every Node is known: a half list would delete good routes."""
        await self._nodes.wait_synced()
        while True:
            self._changed.clear()
            await self.sync()
            await is_set_within(self._changed, REPAIR_PERIOD)

    async def sync(self) -> None:
        nodes = tuple(sorted(map(extract, self._nodes.items()), key=lambda n: n.name))
        refused = routes.apply(self._kernel, self._settings.node_name, nodes, self._cluster)
        problems = {str(problem) for problem in refused}
        own = next((n for n in nodes if self._settings.node_name and n.name == self._settings.node_name), None)
        if own is not None and own.cidrs:
            problems |= await self._own_network(own, nodes)
        self._complain(problems)

    async def _own_network(self, own: NodeNetwork, nodes: Sequence[NodeNetwork]) -> set[str]:
        """Bridge, masquerade, then the conflist, whose presence tells the runtime that pods can start."""
        gateways = tuple(ipaddress.ip_interface((c[1], c.prefixlen)) for c in own.cidrs)
        what = Attachment("", "", "", (), gateways, (), (), {})
        config = Config(bridge=self._settings.bridge, is_gateway=True, force_address=True, mtu=self._settings.mtu)
        problems = set()
        try:
            bridge.ensure_bridge(self._kernel, config, what)
            if self._settings.masquerade:
                addresses = [a for n in nodes for a in n.addresses]
                await self._masquerade.keep(own.cidrs, self._cluster, addresses)
        except (OSError, CniError, NftError, asyncio.TimeoutError) as problem:
            problems.add(f"pod network: {problem or type(problem).__name__}")
        written = await asyncio.to_thread(install.install_conflist, self._settings, [str(c) for c in own.cidrs])
        if written:
            log.info("pod network %s is ready on %s", ", ".join(map(str, own.cidrs)), self._settings.bridge)
        return problems

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        # Status heartbeats change Nodes all the time; only what the network is made of matters.
        if old is None or new is None or extract(old) != extract(new):
            self._changed.set()

    def _complain(self, problems: set[str]) -> None:
        """Each trouble once, not every ten seconds."""
        for problem in sorted(problems - self._complaints):
            log.warning("%s", problem)
        self._complaints = problems

    async def close(self) -> None:
        """Routes stay: pods keep talking while their node's daemon restarts."""
        self._kernel.close()
        self._masquerade.close()


def prepare(node: bool) -> None:
    """Kernel settings without which routed pod traffic is dropped or bypasses Service rules."""
    names = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]
    if node:
        # A pod that reaches a pod of its own node through a Service is answered across the bridge: only with
        # these does the answer pass the connection tracking that undoes the address translation.
        names += ["net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"]
    for name in names:
        try:
            netns.write_sysctl(None, name, 1)
        except OSError as problem:
            log.warning("cannot set %s: %s", name, problem)

"""This node's own part of the pod network: bridge, masquerade, conflist; and taking them away for another program."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Mapping, Sequence

from apimachinery.kit.netlink import Netlink, links, routes
from apimachinery.kit.netlink.routes import Interface
from apimachinery.kit.nft import NftError
from cni import install
from cni.bridge import plugin as bridge
from cni.bridge.config import Config
from cni.bridge.plan import Attachment
from cni.node import plan
from cni.node.between import Between
from cni.node.flows import Flows
from cni.node.masquerade import Masquerade
from cni.node.model import NodeNetwork
from cni.settings import Settings

log = logging.getLogger(__name__)
_REFUSED = (OSError, NftError, asyncio.TimeoutError)


class OwnNetwork:
    """One node's."""

    def __init__(self, settings: Settings, kernel: Netlink) -> None:
        self._settings = settings
        self._kernel = kernel
        self.masquerade = Masquerade(settings.bridge)
        self.flows = Flows(settings.bridge)

    def bridge(self, own: NodeNetwork, mtu: int) -> int:
        """The index of the bridge, as it should be: address, routes, MTU. Raises NetlinkError, CniError."""
        gateways = tuple(ipaddress.ip_interface((c[1], c.prefixlen)) for c in own.cidrs)
        what = Attachment("", "", "", (), gateways, (), (), (), {})
        config = Config(bridge=self._settings.bridge, is_gateway=True, force_address=True, mtu=mtu)
        link = bridge.ensure_bridge(self._kernel, config, what)
        self._ensure_connected(link.index, gateways)
        if link.mtu != mtu:
            self._kernel.do(links.change(link.index, mtu=mtu))
        return link.index

    async def open(self, own: NodeNetwork, nodes: Sequence[NodeNetwork], mtu: int, between: Between) -> set[str]:
        """Masquerade, then the conflist, whose presence tells the runtime that pods can start."""
        problems = set()
        sources = own.cidrs if self._settings.masquerade else ()
        addresses = [a for n in nodes for a in n.addresses]
        port, steered, here = between.tunnel_port, bool(between.links), own.addresses
        try:
            await self.masquerade.translate(
                sources, self._settings.ranges, addresses, port, steered, here, between.sources
            )
        except _REFUSED as problem:
            problems.add(f"pod network: {problem or type(problem).__name__}")
        cidrs = [str(c) for c in own.cidrs]
        if await asyncio.to_thread(install.install_conflist, self._settings, cidrs, mtu):
            log.info("pod network %s is ready on %s", ", ".join(cidrs), self._settings.bridge)
        return problems

    async def shorten(self, ways: Mapping[int, str], pods: Mapping[int, str]) -> set[str]:
        """The flow table; names of links by index."""
        try:
            if self._settings.flow_table:
                await self.flows.shorten(self._settings.ranges, ways, pods)
            else:
                await self.flows.remove()
        except _REFUSED as problem:
            # A link that is gone has the whole transaction refused, and will be told.
            if all(self._kernel.link(index) for index in (*ways, *pods)):
                return {f"flow table: {problem or type(problem).__name__}"}
        return set()

    def close(self) -> None:
        """What was written stays: pods keep talking while the daemon restarts."""
        self.masquerade.close()
        self.flows.close()

    async def leave(self) -> set[str]:
        """Another program is the pod network: take away what would be in its way. The bridge stays for the pods that
        are still in it."""
        try:
            if await asyncio.to_thread(install.remove_conflist, self._settings):
                log.info("mode none: the pod network is another program's")
            await self.masquerade.remove()
            await self.flows.remove()
        except _REFUSED as problem:
            return {f"pod network: {problem or type(problem).__name__}"}
        return set()

    def _ensure_connected(self, link: int, gateways: Sequence[Interface]) -> None:
        """The routes that the kernel makes with the addresses can be deleted by themselves."""
        present = {r.destination for r in self._kernel.routes() if r.link == link}
        for route in plan.connected(link, gateways):
            if route.destination not in present:
                self._kernel.do(routes.replace_route(route))

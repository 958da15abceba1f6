"""Gives each node its range of pod addresses out of the cluster's; a range belongs to one node until that is
gone.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable

from apimachinery import errors
from apimachinery.kinds import NODE
from apimachinery.objects import Obj, name, uid
from apimachinery.workqueue import WorkQueue
from controlplane.controllers.context import Context, synced

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Exhausted(Exception):
    """The cluster's range has no free piece left."""


class Ranges:
    """Equal pieces of one network, each free or taken."""

    def __init__(self, network: Network, mask: int) -> None:
        """Raises ValueError where the pieces would be larger than the network."""
        if mask < network.prefixlen or mask > network.max_prefixlen:
            raise ValueError(f"node_cidr_mask {mask} does not fit cluster_cidr {network}: use a longer one")
        self.network = network
        self._mask = mask
        self._size = 1 << (network.max_prefixlen - mask)
        self._count = 1 << (mask - network.prefixlen)
        self._taken: set[int] = set()
        self._next = 0

    def take(self) -> str:
        """A free piece, searched from where the last was found, so that a freed one is not reused at once."""
        for step in range(self._count):
            index = (self._next + step) % self._count
            if index not in self._taken:
                self._taken.add(index)
                self._next = (index + 1) % self._count
                return f"{self.network.network_address + index * self._size}/{self._mask}"
        raise Exhausted(f"no free range of /{self._mask} is left in {self.network}")

    def occupy(self, text: str) -> None:
        """Mark every piece that a node's range touches, whatever its size."""
        self._taken.update(self._touched(text))

    def free(self, text: str) -> None:
        self._taken.difference_update(self._touched(text))

    def _touched(self, text: str) -> Iterable[int]:
        network = ipaddress.ip_network(text, strict=False)
        if network.version != self.network.version or not network.overlaps(self.network):
            return ()
        base = int(self.network.network_address)
        first = max(int(network.network_address) - base, 0) // self._size
        last = min(int(network.broadcast_address) - base, self._count * self._size - 1) // self._size
        return range(first, last + 1)


def pod_ranges(node: Obj) -> list[str]:
    """The ranges a node has already."""
    spec = node.get("spec") or {}
    return list(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))


def build_ranges(cluster_cidr: str, mask: int, mask_ipv6: int) -> list[Ranges]:
    """One Ranges for each family of a setting like `10.244.0.0/16,fd00::/48`. Raises ValueError."""
    networks = [ipaddress.ip_network(part.strip()) for part in cluster_cidr.split(",") if part.strip()]
    return [Ranges(n, mask if n.version == 4 else mask_ipv6) for n in networks]


class NodeIPAMController:
    """The loop; it does nothing where no cluster range is set."""

    def __init__(self, context: Context) -> None:
        self._context = context
        settings = context.settings
        self._ranges = build_ranges(settings.cluster_cidr, settings.node_cidr_mask, settings.node_cidr_mask_ipv6)
        self._nodes = context.informers.of(NODE)
        self._queue: WorkQueue[str] = WorkQueue("nodeipam", backoff_max=30.0)
        # Ranges handed out to nodes (by uid) that the cache does not show with them yet.
        self._promised: dict[str, list[str]] = {}
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        if self._ranges:
            # Every range in use is known before the first is given away.
            await synced(self._nodes)
            await self._queue.run_workers(1, self._sync)

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and (new is None or uid(old) != uid(new)):
            for text in {*pod_ranges(old), *self._promised.pop(uid(old), ())}:
                for ranges in self._ranges:
                    ranges.free(text)
        if new is None:
            return
        if not pod_ranges(new):
            self._queue.add(name(new))
            return
        for ranges in self._ranges:
            for text in self._promised.get(uid(new), ()):
                ranges.free(text)
            for text in pod_ranges(new):
                ranges.occupy(text)
        self._promised.pop(uid(new), None)

    async def _sync(self, item: str) -> None:
        node = self._nodes.get(item)
        if node is None or pod_ranges(node):
            return
        chosen = self._promised.get(uid(node))
        if chosen is None:
            try:
                chosen = [ranges.take() for ranges in self._ranges]
            except Exhausted:
                text = f"Node {item} status is now: CIDRNotAvailable"
                self._context.recorder.event(node, "Normal", "CIDRNotAvailable", text)
                raise
            # Kept over failed writes: the same node gets the same range at the next try.
            self._promised[uid(node)] = chosen
        patch = {"metadata": {"uid": uid(node)}, "spec": {"podCIDR": chosen[0], "podCIDRs": chosen}}
        try:
            await self._context.client.patch(NODE, item, patch)
        except errors.NotFound:
            return
        log.info("node %s has pod range %s", item, ", ".join(chosen))

"""Pods take the node's address when they leave the cluster, and only then: one nftables table per bridge.

    pod -> other pod, node address: unchanged       pod -> anything else: source = the node's outgoing address

Where nodes send pods' packets to each other by vxlan, the table guards that, too: only nodes may send such packets, for
whoever can is inside the pod network. Connection tracking leaves them alone: it would cost time, and no rule that
translates addresses can touch them. Answers of pods behind a port of the node are marked, for which there is a rule of
routing (`overlay`). (A kernel that translates a packet whose checksum it has not computed yet, as that
of an encapsulated packet, got that wrong for years.)

Source for what must not be translated: https://kubernetes.io/docs/concepts/cluster-administration/networking/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from apimachinery.kit.netlink.routes import Address, Network
from apimachinery.kit.nft import Nft
from cni import foreign
from cni.node.overlay import ANSWER_MARK

_FAMILY = {4: "ip", 6: "ip6"}
_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
# Multicast is never translated: its answers go to the group.
_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}


def table_of(bridge: str) -> str:
    return f"wherry-masquerade-{bridge}"


def ruleset(
    bridge: str, own: Iterable[Network], cluster: Iterable[Network], nodes: Iterable[Address], tunnel_port: int = 0
) -> str:
    """The whole table as one nft transaction, whether it exists or not. Pure; the same input gives the same
    text.

    `own` are the node's pod CIDRs: only their traffic is looked at. `cluster` and `nodes` keep their sources.
    `tunnel_port`: of vxlan, 0 where there is none.
    """
    table = f"inet {table_of(bridge)}"
    lines = [f"add table {table}", f"delete table {table}", f"table {table} {{"]
    rules = []
    networks, addresses, sources = list(cluster), list(nodes), list(own)
    for version, family in _FAMILY.items():
        mine = [c for c in sources if c.version == version]
        if not mine:
            continue
        inside = {str(c) for c in [*networks, *mine] if c.version == version}
        inside |= {str(a) for a in addresses if a.version == version} | {_MULTICAST[version]}
        lines += [
            f"  set inside{version} {{",
            f"    type {_TYPE[version]}; flags interval; auto-merge",
            f"    elements = {{ {', '.join(sorted(inside))} }}",
            "  }",
        ]
        pods = ", ".join(sorted(map(str, mine)))
        rules.append(f"    {family} saddr {{ {pods} }} {family} daddr != @inside{version} masquerade")
    if tunnel_port:
        lines += _tunnel(bridge, addresses, tunnel_port)
    # After the proxy's own chain at srcnat, which may have marked the packet for its kind of translation.
    lines += ["  chain postrouting {", "    type nat hook postrouting priority srcnat + 10;", *rules, "  }", "}"]
    return "\n".join(lines) + "\n"


def _tunnel(bridge: str, nodes: Iterable[Address], port: int) -> list[str]:
    sets, known, out = [], [], []
    for version, family in _FAMILY.items():
        own = sorted(str(a) for a in nodes if a.version == version)
        elements = f" elements = {{ {', '.join(own)} }};" if own else ""
        sets.append(f"  set nodes{version} {{ type {_TYPE[version]};{elements} }}")
        known.append(f"    {family} saddr @nodes{version} notrack accept")
        out.append(f"    {family} daddr @nodes{version} notrack")
    # Every packet comes by here: what is none of it leaves first, and the one look for a route comes late.
    others = ["    meta l4proto != udp accept", f"    udp dport != {port} accept", "    fib daddr type != local accept"]
    start = ["  chain prerouting {", "    type filter hook prerouting priority raw;", *others]
    sent = ["  chain output {", "    type filter hook output priority raw;", *others[:2], *out, "  }"]
    answer = f'    iifname "{bridge}" ct direction reply ct status dnat meta mark set meta mark or {ANSWER_MARK:#x}'
    answers = ["  chain answers {", "    type filter hook prerouting priority mangle;", answer, "  }"]
    return [*sets, *start, *known, "    drop", "  }", *sent, *answers]


class Masquerade:
    """Keeps the table of one bridge. A change is one transaction; the same wish twice costs nothing."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self._nft: Nft | None = None
        self._applied = ""
        self._doubted = False

    async def keep(
        self, own: Iterable[Network], cluster: Iterable[Network], nodes: Iterable[Address], tunnel_port: int
    ) -> None:
        """NftError when the kernel refuses; the next call tries again. No table where nothing has to be in it."""
        sources = list(own)
        if not sources and not tunnel_port:
            # Only what was written: a host that translates nothing need not have nftables.
            if self._applied:
                await self.remove()
            return
        await self._keep(ruleset(self._bridge, sources, cluster, nodes, tunnel_port))

    async def remove(self) -> None:
        """No table any more. NftError."""
        table = f"inet {table_of(self._bridge)}"
        await self._keep(f"add table {table}\ndelete table {table}\n")

    async def _keep(self, text: str) -> None:
        if text == self._applied and not self._doubted:
            return
        self._applied, self._doubted = "", False
        if self._nft is None:
            nft = Nft()
            try:
                await nft.open()
            except BaseException:
                nft.close()
                raise
            self._nft = nft
        await self._nft.run(text)
        self._applied = text

    async def watch(self, on_lost: Callable[[], None]) -> None:
        """Call `on_lost` when another program touched the table; `keep` then writes it again. Runs for ever."""
        async for _ in foreign.changes(table_of(self._bridge), lambda: self._nft.owner if self._nft else ""):
            self._doubted = True
            on_lost()

    def close(self) -> None:
        """The rule stays: pods keep talking while the daemon restarts."""
        if self._nft is not None:
            self._nft.close()
            self._nft = None

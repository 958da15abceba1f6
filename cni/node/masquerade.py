"""Pods take the node's address when they leave the cluster, and only then: one nftables table per bridge.

    pod -> other pod, node address: unchanged       pod -> anything else: source = the node's outgoing address

Where nodes send pods' packets to each other by vxlan, the table guards that, too: only nodes may send such packets, for
whoever can is inside the pod network. Connection tracking leaves them alone: it would cost time, and no rule that
translates addresses can touch them. (A kernel that translates a packet whose checksum it has not computed yet, as that
of an encapsulated packet, got that wrong for years.)

Where pods reach other nodes by a device, what will bear this node's address is marked, for which there is a rule of
routing (`overlay`): pods' answers behind a port of the node, and what a proxy masquerades. What a proxy masquerades on
its way out by the device is translated here, as the node's InternalIP: the device has no address to give, and the
kernel would take the first that it finds on any link, to which nobody need know a way back.

The table is replaced while pods open connections, which keep for life what their first packet met. A transaction
replaces rules and sets of single values at once, but a set of intervals (`flags interval`, or prefixes in braces) that
it makes is found empty for some microseconds (seen with Linux 6.18): so there is none.

Source for what must not be translated: https://kubernetes.io/docs/concepts/cluster-administration/networking/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from apimachinery.kit.netlink.routes import Address, Network
from cni.node.overlay import DIRECT_MARK, MASQUERADE_MARK
from cni.node.table import Table

_FAMILY = {4: "ip", 6: "ip6"}
_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
# Multicast is never translated: its answers go to the group.
_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/4"), 6: ipaddress.ip_network("ff00::/8")}


def table_of(bridge: str) -> str:
    return f"wherry-masquerade-{bridge}"


def ruleset(
    bridge: str,
    own: Sequence[Network],
    cluster: Iterable[Network],
    nodes: Iterable[Address],
    tunnel_port: int = 0,
    steered: bool = False,
    here: Iterable[Address] = (),
    sources: Iterable[tuple[str, Address]] = (),
) -> str:
    """The whole table as one nft transaction, whether it exists or not. Pure; the same input gives the same
    text.

    `own` are the node's pod CIDRs: only their traffic is looked at. `cluster` and `nodes` keep their sources.
    `tunnel_port`: of vxlan, 0 where there is none. `steered`: what pods send to nodes goes by a device. `here`: this
    node's addresses, to which the others send. `sources`: (device, as whom this node sends by it).
    """
    table = f"inet {table_of(bridge)}"
    lines = [f"add table {table}", f"delete table {table}", f"table {table} {{"]
    networks, addresses, starts = list(cluster), sorted(set(map(str, nodes))), []
    for version, family in _FAMILY.items():
        mine = [c for c in own if c.version == version]
        if mine or tunnel_port or steered:
            lines.append(_nodes(version, addresses))
        if mine:
            lines += _leaving(version, {*networks, *mine, _MULTICAST[version]})
            starts += [f"    {family} saddr {c} jump leaving{version}" for c in sorted(map(str, mine))]
    if tunnel_port:
        lines += _tunnel(tunnel_port, here)
    if steered or tunnel_port:
        lines += _direct(bridge)
    lines += _as_the_node(sources)
    # After the proxy's own chain at srcnat, which may have marked the packet for its kind of translation.
    lines += ["  chain postrouting {", "    type nat hook postrouting priority srcnat + 10;", *starts, "  }", "}"]
    return "\n".join(lines) + "\n"


def _nodes(version: int, addresses: Iterable[str]) -> str:
    own = [a for a in addresses if (":" in a) == (version == 6)]
    elements = f" elements = {{ {', '.join(own)} }};" if own else ""
    # Of a set whose size it knows the kernel makes one that does not grow, and finds elements in with less work.
    return f"  set nodes{version} {{ type {_TYPE[version]}; size {len(own) or 1};{elements} }}"


def _leaving(version: int, inside: Iterable[Network]) -> list[str]:
    """What stays inside returns; one comparison each, for a set of intervals is empty while its table is written anew
    (see above)."""
    family = _FAMILY[version]
    stays = ipaddress.collapse_addresses(n for n in inside if n.version == version)  # type: ignore[type-var]
    found = [f"    {family} daddr {network} return" for network in stays]
    return [
        f"  chain leaving{version} {{",
        *found,
        f"    {family} daddr @nodes{version} return",
        "    masquerade",
        "  }",
    ]


def _tunnel(port: int, here: Iterable[Address]) -> list[str]:
    known = {version: f"{family} saddr @nodes{version} notrack accept" for version, family in _FAMILY.items()}
    out = [f"    {family} daddr @nodes{version} notrack accept" for version, family in _FAMILY.items()]
    # Every packet comes by here: what is none of it leaves first. What is as it should be needs no look for a route.
    # (`udp dport` would ask for the protocol once more.)
    others = ["    meta l4proto != udp accept", f"    th dport != {port} accept"]
    plain = [f"    {_FAMILY[a.version]} daddr {a} {known[a.version]}" for a in sorted(here, key=str)]
    start = ["  chain prerouting {", "    type filter hook prerouting priority raw;", *others, *plain]
    rest = ["    fib daddr type != local accept", *(f"    {rule}" for rule in known.values()), "    drop", "  }"]
    return [*start, *rest, "  chain output {", "    type filter hook output priority raw;", *others, *out, "  }"]


def _direct(bridge: str) -> list[str]:
    """Marks what a pod sends that will bear this node's address, and what another node sends that is translated to a
    pod: where packets' way back is checked, the route from the pod is asked for: the device, without the mark."""
    mark = f"meta mark set meta mark | {DIRECT_MARK:#x}"
    return [
        "  chain translated {",
        *(f"    {family} saddr @nodes{v} {mark}" for v, family in _FAMILY.items()),
        f'    iifname != "{bridge}" return',
        f"    ct direction reply ct status dnat {mark}",
        f"    ct direction original ct status snat {mark}",
        "  }",
        "  chain direct {",
        # After the proxy has said of a connection's first packet what shall become of it.
        "    type filter hook prerouting priority dstnat + 10;",
        # Every packet comes by here, too, and few are translated: of the others nothing else is asked.
        "    ct status dnat,snat jump translated",
        f'    meta mark & {MASQUERADE_MARK:#x} != 0 iifname "{bridge}" {mark}',
        "  }",
    ]


def _as_the_node(sources: Iterable[tuple[str, Address]]) -> list[str]:
    asked, done = f"meta mark & {MASQUERADE_MARK:#x} != 0", f"meta mark set meta mark ^ {MASQUERADE_MARK:#x}"
    rules = []
    for device, address in sources:
        family = _FAMILY[address.version]
        nfproto = {4: "ipv4", 6: "ipv6"}[address.version]
        as_whom = f"snat {family} to {address} fully-random"
        rules.append(f'    oifname "{device}" meta nfproto {nfproto} {asked} {done} {as_whom}')
    if not rules:
        return []
    # Before the proxy's own chain at srcnat, which would masquerade.
    return ["  chain as-the-node {", "    type nat hook postrouting priority srcnat - 10;", *rules, "  }"]


class Masquerade(Table):
    """Keeps the table of one bridge."""

    def __init__(self, bridge: str) -> None:
        super().__init__(table_of(bridge))
        self._bridge = bridge

    async def translate(
        self,
        own: Iterable[Network],
        cluster: Iterable[Network],
        nodes: Iterable[Address],
        tunnel_port: int,
        steered: bool = False,
        here: Iterable[Address] = (),
        sources: Iterable[tuple[str, Address]] = (),
    ) -> None:
        """As `ruleset`. NftError when the kernel refuses; the next call tries again. No table where nothing has to be
        in it."""
        mine = list(own)
        if mine or tunnel_port or steered:
            await self.keep(ruleset(self._bridge, mine, cluster, nodes, tunnel_port, steered, here, sources))
        else:
            await self.remove()

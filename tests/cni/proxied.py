"""What a proxy translates on its way through a node: who answers, and as whom the asking one is seen."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from apimachinery.kit import command, netns
from netproxy.names import MASQUERADE_MARK
from tests.cni import kernel
from tests.cni.nodes import Node

FAR_NODE, FAR_POD, OWN_POD = 1080, 1081, 1082
"""Ports of node1: as a node port that leads to the other node and to its pod, and as a host port."""
# An address which the kernel finds before all others, and to which no other node knows a way.
ELSEWHERE = ("10.98.0.1/32", "fd98::1/128")


def go_and_come_back_one_way(nodes: list[Node], outside: Path) -> None:
    """Ask node1's ports from everywhere, on nodes that check packets' way back; nothing of it stays."""
    one, two = nodes[:2]
    (pod, here), (far_pod, there) = one.pods[0], two.pods[0]
    before = netns.read_sysctl(one.path, "net.ipv4.conf.all.rp_filter")
    netns.write_sysctl(one.path, "net.ipv4.conf.all.rp_filter", 1)
    lines = [f"ip address add {address} dev lo" for address in ELSEWHERE]
    try:
        asyncio.run(_on(one.path, "sh", "-ec", "\n".join(lines)))
        asyncio.run(_on(one.path, "nft", _table(here, there)))
        with kernel.echo(two.path), kernel.echo(pod), kernel.echo(far_pod):
            for version, own, other in ((4, "10.99.0.1", "10.99.0.2"), (6, "fd99::1", "fd99::2")):
                for asking in (pod, outside, one.path, far_pod):
                    for port in (FAR_NODE, FAR_POD):
                        seen = kernel.ask(asking, own, port)
                        assert seen == own, f"{asking.name} at {own}:{port} is seen as {seen}"
                for asking, itself in ((two.path, other), (far_pod, kernel.address_of(there, version))):
                    assert kernel.ask(asking, own, OWN_POD) == itself
    finally:
        netns.write_sysctl(one.path, "net.ipv4.conf.all.rp_filter", int(before))
        taken = [f"ip address del {address} dev lo" for address in ELSEWHERE]
        asyncio.run(_on(one.path, "sh", "-c", "\n".join(["nft delete table inet whtproxy", *taken])))


def _table(here: dict[str, Any], there: dict[str, Any]) -> str:
    mark = f"meta mark set meta mark | {MASQUERADE_MARK:#x}"
    services = []
    for version, ip, own, other in ((4, "ip", "10.99.0.1", "10.99.0.2"), (6, "ip6", "fd99::1", "fd99::2")):
        to = f"{ip} daddr {own} tcp dport"
        ends = [
            a if version == 4 else f"[{a}]" for a in (other, *(kernel.address_of(r, version) for r in (there, here)))
        ]
        services += [
            f"{to} {FAR_NODE} {mark} dnat {ip} to {ends[0]}:7",
            f"{to} {FAR_POD} {mark} dnat {ip} to {ends[1]}:7",
            f"{to} {OWN_POD} dnat {ip} to {ends[2]}:7",
        ]
    asked = f"meta mark & {MASQUERADE_MARK:#x} != 0 meta mark set meta mark ^ {MASQUERADE_MARK:#x}"
    return "\n".join(
        [
            "table inet whtproxy {",
            "  chain services {",
            *services,
            "  }",
            "  chain in { type nat hook prerouting priority dstnat; jump services; }",
            "  chain own { type nat hook output priority -100; jump services; }",
            f"  chain out {{ type nat hook postrouting priority srcnat; {asked} masquerade fully-random; }}",
            "}",
        ]
    )


async def _on(where: Path, *argv: str) -> None:
    await command.run(["nsenter", f"--net={where}", *argv], timeout=60)

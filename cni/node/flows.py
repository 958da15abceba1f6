"""A short cut through the kernel for what is under way between pods of different nodes: one flow table per bridge.

    pod ── veth ──┬── bridge ── rules, tracking, routes ── uplink or device ── other node   a connection's first packets
                  └────────────── flow table ─────────────────┘                             all others, both ways

The kernel takes such packets as they come in at a link of the table and sends them out at the other, translated as the
connection tracker knows them to be. What passes so is seen by no rule any more, which is right for connections that
were let in, since policies let what is under way go on (netproxy's do, too), and for nothing else. So:

* TCP alone: a UDP flow whose endpoint is gone has to be forgotten, which the kernel refuses for what is in the table.
* An answer has been seen, and the packet goes the way of the connection's first: of connections that IPVS carries only
  answers are forwarded, and they must not pass it by.
* Pods at both ends, and no source that is translated.
* Not from the bridge to the bridge, which are no routed packets: pods of one node reach each other by its ports.

A connection that begins to end, or that rests for half a minute, goes the whole way again, and so does one whose route
changes or whose link goes down (a pod that leaves takes its own along).

Source: https://docs.kernel.org/networking/nf_flowtable.html
"""

from __future__ import annotations

import ipaddress
import itertools
import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping

from apimachinery.kit.netlink.routes import Network
from apimachinery.kit.nft import NftError
from cni.node.table import Table, gone

log = logging.getLogger(__name__)

NEEDS = (6, 1)
"""Linux with which it was tried. Before 5.14 a connection that had left the table was forgotten after two minutes."""
_HOOK = "hook ingress priority filter;"
_AT_A_TIME = 128
"""links; the kernel takes no more than 255 in one request"""
_GONE = 128
"""links that went before the table is written anew: from Linux 6.16 on it keeps their names, and with some thousands of
them it could not be listed any more"""

_NOBODY = ipaddress.ip_network("192.0.2.0/24")
"""for documentation: no connection is between such addresses"""


def table_of(bridge: str) -> str:
    return f"wherry-flows-{bridge}"


def ruleset(bridge: str, cluster: Iterable[Network], links: Collection[str], name: str = "") -> str:
    """The whole table as one nft transaction, whether it exists or not. Pure.

    `cluster`: where pods live. `links`: names of those at which packets come in. `name`: other than the bridge's.
    """
    table = name or table_of(bridge)
    devices = f" devices = {{ {_listed(links)} }};" if links else ""
    networks = sorted(cluster, key=str)
    pairs = [(a, b) for a, b in itertools.product(networks, networks) if a.version == b.version]
    return "\n".join(
        [
            gone(table) + f"table inet {table} {{",
            f"  flowtable pods {{ {_HOOK}{devices} }}",
            "  chain forward {",
            # After everybody who may refuse a packet.
            "    type filter hook forward priority filter + 20;",
            "    meta l4proto != tcp accept",
            f'    iifname "{bridge}" oifname "{bridge}" accept',
            "    ct direction reply accept",
            *(_offered(*pair) for pair in pairs),
            "  }",
            "}",
            "",
        ]
    )


def more(bridge: str, links: Collection[str]) -> str:
    """A transaction that adds links to the table. Pure."""
    return f"add flowtable inet {table_of(bridge)} pods {{ {_HOOK} devices = {{ {_listed(links)} }}; }}\n"


def _offered(source: Network, destination: Network) -> str:
    ip = {4: "ip", 6: "ip6"}[source.version]
    ends = f"{ip} saddr {source} {ip} daddr {destination}"
    return f"    {ends} ct state established ct status & snat == 0 flow add @pods"


def _listed(links: Iterable[str]) -> str:
    return ", ".join(f'"{link}"' for link in sorted(links))


class Flows(Table):
    """Keeps the table of one bridge."""

    def __init__(self, bridge: str) -> None:
        super().__init__(table_of(bridge))
        self._bridge = bridge
        self._can: bool | None = None
        self._base: tuple[frozenset[tuple[int, str]], frozenset[Network]] | None = None
        self._added: frozenset[tuple[int, str]] = frozenset()
        """pods' links since the table was written, those that went included"""

    async def shorten(self, cluster: Iterable[Network], ways: Mapping[int, str], pods: Mapping[int, str]) -> None:
        """Links by index. `ways`: bridge, uplinks, devices; another set of them has all connections begin anew, as a
        pod's link more has not. NftError when the kernel refuses, which it also does when a link is gone meanwhile;
        the next call goes on from there. No table where the kernel has none such.
        """
        if self._can is None:
            self._can = await self._is_possible()
        if not self._can:
            return
        base, wanted = (frozenset(ways.items()), frozenset(cluster)), frozenset(pods.items())
        if base != self._base or not self.is_written or len(self._added - wanted) >= _GONE:
            first = sorted(wanted)[:_AT_A_TIME]
            self._base = None
            # Also where the text is the same: another link may have the name.
            await self.write(ruleset(self._bridge, base[1], [*ways.values(), *_names(first)]))
            self._base, self._added = base, frozenset(first)
        new = sorted(wanted - self._added)
        for start in range(0, len(new), _AT_A_TIME):
            some = new[start : start + _AT_A_TIME]
            await self.run(more(self._bridge, _names(some)))
            self._added |= set(some)

    async def _is_possible(self) -> bool:
        if (found := _version(os.uname().release)) < NEEDS:
            log.info("no flow table: Linux %d.%d is older than %d.%d", *found, *NEEDS)
            return False
        probe = f"{self.name}-probe"
        try:
            # With a rule, which is a module of its own. Two transactions: what comes and goes in one is not all tried.
            await self.run(ruleset(self._bridge, [_NOBODY], (), probe))
            await self.run(gone(probe))
        except NftError as refused:
            log.info("no flow table (module nft_flow_offload), every packet goes the whole way: %s", refused.message)
            return False
        return True


def _names(links: Iterable[tuple[int, str]]) -> list[str]:
    return [name for _, name in links]


def _version(release: str) -> tuple[int, int]:
    numbers = [int(number) for number in re.findall(r"\d+", release)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)

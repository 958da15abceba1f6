"""Chains and rules that no Service changes: ours, and the jumps to them from the kernel's own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from netproxy import names
from netproxy.ground import Ground
from netproxy.model import Family

CANARY = "KUBE-PROXY-CANARY"


MARK_CHAIN = "KUBE-MARK-MASQ"
SERVICE_CHAIN_PREFIXES = ("KUBE-SEP-", "KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-")
"""each kind leads to MARK_CHAIN and to kinds before it alone"""


@dataclass(frozen=True, slots=True)
class Jump:
    """A rule in a built-in chain: table, chain and the rule without -A CHAIN."""

    table: str
    chain: str
    rule: str

    @property
    def target(self) -> str:
        """Our chain it leads to."""
        return self.rule.rpartition(" ")[2]


@dataclass(frozen=True)
class Layout:
    """Chains that belong together, whatever Services there are, and how they are known for ours."""

    tables: tuple[str, ...]
    """in the order in which they are written"""
    jumps: tuple[Jump, ...]
    chains: Callable[[Ground], Mapping[str, Mapping[str, tuple[str, ...]]]]
    """table → chain → its fixed rules, which come after those of Services"""
    owner: str
    """a chain of each table that says: those beside it are ours"""
    prefixes: tuple[str, ...] = ()
    """how the chains of Services begin; each kind leads to those before it alone"""
    route_localnet: Callable[[Ground], bool] = lambda _: False
    """True when the kernel must route 127.0.0.0/8"""

    @property
    def built_in_chains(self) -> frozenset[str]:
        """The kernel's own chains that jump to ours."""
        return frozenset(jump.chain for jump in self.jumps)

    def is_ours(self, table: str, chain: str, ground: Ground) -> bool:
        """True for a chain of this layout, if the owner chain stands beside it."""
        return chain in self.chains(ground)[table] or chain.startswith(self.prefixes)


_NEW = "-m conntrack --ctstate NEW "


def _jump(table: str, chain: str, match: str, comment: str, target: str) -> Jump:
    return Jump(table, chain, f'{match}-m comment --comment "{comment}" -j {target}')


JUMPS = (
    _jump("filter", "INPUT", "", "kubernetes health check service ports", "KUBE-NODEPORTS"),
    _jump("filter", "INPUT", _NEW, "kubernetes externally-visible service portals", "KUBE-EXTERNAL-SERVICES"),
    _jump("filter", "FORWARD", _NEW, "kubernetes externally-visible service portals", "KUBE-EXTERNAL-SERVICES"),
    _jump("filter", "FORWARD", _NEW, "kubernetes service portals", "KUBE-SERVICES"),
    _jump("filter", "OUTPUT", _NEW, "kubernetes service portals", "KUBE-SERVICES"),
    _jump("filter", "FORWARD", "", "kubernetes forwarding rules", "KUBE-FORWARD"),
    _jump("filter", "INPUT", _NEW, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL"),
    _jump("filter", "OUTPUT", _NEW, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL"),
    _jump("filter", "FORWARD", _NEW, "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL"),
    Jump("filter", "INPUT", "-j KUBE-FIREWALL"),
    Jump("filter", "OUTPUT", "-j KUBE-FIREWALL"),
    _jump("nat", "PREROUTING", "", "kubernetes service portals", "KUBE-SERVICES"),
    _jump("nat", "OUTPUT", "", "kubernetes service portals", "KUBE-SERVICES"),
    _jump("nat", "POSTROUTING", "", "kubernetes postrouting rules", "KUBE-POSTROUTING"),
)


def chains(ground: Ground) -> dict[str, dict[str, tuple[str, ...]]]:
    """table → chain → its fixed rules, which come after those of Services."""
    mark = names.MASQUERADE_MARK
    accept = '-m comment --comment "kubernetes forwarding'
    return {
        "filter": {
            names.OWNER_CHAIN: (),
            CANARY: (),
            "KUBE-SERVICES": (),
            "KUBE-EXTERNAL-SERVICES": (),
            "KUBE-NODEPORTS": (),
            "KUBE-PROXY-FIREWALL": (),
            "KUBE-FIREWALL": (*_martians(ground), *_silence(ground)),
            "KUBE-FORWARD": (
                # A packet the connection tracker cannot place would leave un-translated and reset the
                # client's connection (kubernetes#74839).
                *(() if ground.tcp_be_liberal else ("-m conntrack --ctstate INVALID -j DROP",)),
                f'{accept} rules" -m mark --mark {mark:#x}/{mark:#x} -j ACCEPT',
                f'{accept} conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
            ),
        },
        "nat": {
            names.OWNER_CHAIN: (),
            CANARY: (),
            "KUBE-SERVICES": _node_port_rules(ground),
            "KUBE-NODEPORTS": (),
            MARK_CHAIN: (f"-j MARK --set-xmark {mark:#x}/{mark:#x}",),
            "KUBE-POSTROUTING": (
                f"-m mark ! --mark {mark:#x}/{mark:#x} -j RETURN",
                f"-j MARK --set-xmark {mark:#x}/0x0",
                '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
            ),
        },
    }


def from_pods(ground: Ground) -> tuple[str, ...]:
    """Matches of which each takes some of the traffic of the cluster's pods; none where nobody says what theirs is."""
    if ground.pod_interface:
        return (f"-i {ground.pod_interface}",)
    return tuple(f"-s {cidr}" for cidr in ground.cluster_cidrs)


def needs_route_localnet(ground: Ground) -> bool:
    """True when the kernel must route 127.0.0.0/8, for node ports on localhost."""
    return ground.family is Family.IPV4 and ground.localhost_node_ports and not ground.node_port_cidrs


def _martians(ground: Ground) -> tuple[str, ...]:
    if not needs_route_localnet(ground):
        return ()
    return (
        '! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" '
        "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
    )


def _silence(ground: Ground) -> tuple[str, ...]:
    """While the process behind an address of this host restarts, who asks waits and asks again."""
    if ground.family is Family.IPV4:
        match, prefix = "-p icmp -m icmp --icmp-type destination-unreachable", 32
    else:
        match, prefix = "-p ipv6-icmp -m icmp6 --icmpv6-type destination-unreachable", 128
    return tuple(f"-s {ip}/{prefix} {match} -j DROP" for ip in ground.local_vips)


def node_port_destinations(ground: Ground) -> tuple[str, ...]:
    """Matches of which one takes what comes to an address where node ports answer, if that is this host's."""
    if ground.node_port_cidrs:
        return tuple(f"-d {cidr} " for cidr in ground.node_port_cidrs)
    if ground.family is Family.IPV6:
        return ("! -d ::1/128 ",)
    return ("",) if ground.localhost_node_ports else ("! -d 127.0.0.0/8 ",)


def _node_port_rules(ground: Ground) -> tuple[str, ...]:
    tail = (
        '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" '
        "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
    )
    return tuple(f"{where}{tail}" for where in node_port_destinations(ground))


# Translation first: the refusal of a Service that just got its first endpoint must not go before that.
KUBE = Layout(("nat", "filter"), JUMPS, chains, names.OWNER_CHAIN, SERVICE_CHAIN_PREFIXES, needs_route_localnet)
"""kube-proxy's chains, as iptables mode writes them"""

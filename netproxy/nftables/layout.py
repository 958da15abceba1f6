"""What a table of ours always has, whatever pieces come and go.

A set of intervals (`flags interval`, or prefixes or ranges in braces) that a transaction makes is found empty by
packets until the transaction's end (seen with Linux 6.18), where rules and sets of single values are replaced at once;
and a connection keeps for life what its first packet met. So no rule of ours has such a set of its own: what is
compared with several networks is several rules, or a chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from apimachinery.kit.netlink.elements import Part
from netproxy.ground import Ground
from netproxy.model import Family

Rules = tuple[str, ...]
Shape = tuple[tuple[Part, ...], tuple[Part, ...]]
NUMBERS = {Family.IPV4: 2, Family.IPV6: 10}
"""of the families, to the kernel's nftables"""


@dataclass(frozen=True)
class Layout:
    """One table of one family. Nobody else writes into it."""

    family: Family
    name: str
    containers: tuple[str, ...]
    """fixed sets and maps, as `map NAME { … }` or `set NAME { … }`"""
    chains: Mapping[str, Rules]
    """fixed chains, in an order in which every one only goes to earlier ones"""
    hooks: tuple[tuple[str, str, Rules], ...]
    """base chains: (name, hook declaration, rules)"""
    last: frozenset[str] = frozenset()
    """hooks to be made or mended only when everything else stands"""
    set_prefixes: tuple[str, ...] = ()
    """how the names of sets begin which pieces declare"""
    elements: Mapping[str, Shape] = field(default_factory=dict)
    """of fixed sets and maps, the parts of a key and of its data (none for verdicts)"""

    @property
    def table(self) -> str:
        """As nft's commands name it."""
        return f"{ip_word(self.family)} {self.name}"


def ip_word(family: Family) -> str:
    """The family's name in nft syntax, for tables and for header fields alike."""
    return "ip" if family is Family.IPV4 else "ip6"


def from_pods(ground: Ground) -> tuple[str, ...]:
    """Matches of which each takes some of the traffic of the cluster's pods; none where nobody says what theirs is."""
    if ground.pod_interface:
        return (f"iifname {_interface(ground)}",)
    return within(ground.family, "saddr", ground.cluster_cidrs)


def from_others(ground: Ground) -> str:
    """What matches all other traffic; empty where nobody says what pods' is."""
    if ground.pod_interface:
        return f"iifname != {_interface(ground)}"
    return " ".join(f"{ip_word(ground.family)} saddr != {cidr}" for cidr in ground.cluster_cidrs)


def _interface(ground: Ground) -> str:
    name, prefix, _ = ground.pod_interface.partition("+")
    return f'"{name}{"*" if prefix else ""}"'


def within(family: Family, field: str, cidrs: Sequence[str]) -> tuple[str, ...]:
    """Matches of which each takes one of the CIDRs. `field`: saddr or daddr."""
    return tuple(f"{ip_word(family)} {field} {cidr}" for cidr in cidrs)


def address_type(family: Family) -> str:
    """The type of an address in nft syntax."""
    return "ipv4_addr" if family is Family.IPV4 else "ipv6_addr"

"""Policies and pods to nftables pieces. Pure.

A pod that policies select is one element of `ingress` or `egress`: goto the chain of exactly these policies, which all
pods share that the same ones select. Peers are sets of addresses, shared by all rules that name the same pods. So a pod
that comes or goes is a few elements, and a policy a few chains, whatever else there is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apimachinery.selectors import LabelSelector
from netproxy import names
from netproxy.ground import collapse, of_family
from netproxy.model import Family
from netproxy.nftables.layout import address_type, ip_word, within
from netproxy.nftables.plan import CHAIN, SET, Key, Piece
from netproxy.policy.model import Block, Direction, Group, NamedPort, Peer, Pod, Policy, Port, Rule

KNOWN, HELD, SELF = "known", "held", "self"
MAPS = {Direction.INGRESS: "ingress", Direction.EGRESS: "egress"}
_PROTOCOLS = ("TCP", "UDP", "SCTP")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that rules need to know of one pod."""

    pod: Pod
    here: bool
    """it runs on this node"""
    groups: frozenset[Group]
    """of those that some policy names"""
    named_ports: frozenset[NamedPort]
    """its own, of those that some policy names"""
    ingress: tuple[str, ...] = ()
    """keys of the policies that isolate it, sorted; none: not isolated"""
    egress: tuple[str, ...] = ()

    def policies(self, direction: Direction) -> tuple[str, ...]:
        """Those of one direction."""
        return self.ingress if direction is Direction.INGRESS else self.egress


def plan_pod(facts: Facts, family: Family) -> tuple[Piece, ...]:
    """All pieces one pod claims."""
    addresses = of_family(facts.pod.ips, family)
    return tuple(piece for ip in addresses for piece in _address(facts, ip))


def _address(facts: Facts, ip: str) -> Iterator[Piece]:
    yield from ((Key(group_set(group), ip), ("",)) for group in facts.groups)
    for protocol, name, number in facts.pod.ports:
        if (protocol, name) in facts.named_ports:
            yield Key(names.nft_named_port(protocol, name), f"{ip} . {number}"), ("",)
    if not facts.here:
        return
    yield Key(KNOWN, ip), ("",)
    if facts.ingress or facts.egress:
        yield Key(SELF, f"{ip} . {ip}"), ("",)
    for direction in Direction:
        if keys := facts.policies(direction):
            chain = names.nft_isolated(direction.value, keys)
            yield Key(MAPS[direction], ip), (f"goto {chain}",)
            jumps = (f"jump {names.nft_policy(direction.value, key)}" for key in keys)
            yield Key(CHAIN, chain), (*jumps, "drop")


def plan_hold(ranges: Iterable[str], family: Family) -> tuple[Piece, ...]:
    """Addresses of this node's range which no known pod has wait until they are known."""
    return tuple((Key(HELD, cidr), ("",)) for cidr in collapse(of_family(ranges, family)))


def plan_policy(policy: Policy, family: Family) -> tuple[Piece, ...]:
    """All pieces one policy claims: its chains, and the sets its rules look into."""
    return tuple(_policy(policy, family))


def _policy(policy: Policy, family: Family) -> Iterator[Piece]:
    address = address_type(family)
    for group in policy.groups:
        yield Key(SET, group_set(group)), (f"{{ type {address}; }}",)
    for protocol, name in policy.named_ports:
        yield Key(SET, names.nft_named_port(protocol, name)), (f"{{ type {address} . inet_service; }}",)
    for direction in Direction:
        rules = policy.rules(direction)
        if rules is not None:
            parted = (block for rule in rules for block in _parted(rule, family))
            yield from dict.fromkeys(_exceptions(block, direction, family) for block in parted)
            texts = (text for rule in rules for text in _rule(rule, direction, family))
            # One packet needs no second look at the same words.
            yield Key(CHAIN, names.nft_policy(direction.value, policy.key)), tuple(dict.fromkeys(texts))


def _rule(rule: Rule, direction: Direction, family: Family) -> Iterator[str]:
    ports = [""] if rule.ports is None else list(_ports(rule.ports, family))
    for peer, verdict in _peers(rule.peers, direction, family):
        yield from (" ".join(word for word in (peer, port, verdict) if word) for port in ports)


def _parted(rule: Rule, family: Family) -> Iterator[Block]:
    """Blocks of which not everything is a peer."""
    for peer in rule.peers or ():
        if isinstance(peer, Block) and peer.excepted and of_family((peer.cidr,), family):
            yield peer


def _exceptions(block: Block, direction: Direction, family: Family) -> Piece:
    excepted = within(family, _field(direction), collapse(block.excepted))
    return Key(CHAIN, _block_chain(block, direction)), (*(f"{match} return" for match in excepted), "accept")


def _block_chain(block: Block, direction: Direction) -> str:
    return names.nft_block(direction.value, " ".join(collapse(block.excepted)))


def _field(direction: Direction) -> str:
    return "saddr" if direction is Direction.INGRESS else "daddr"


def _peers(peers: tuple[Peer, ...] | None, direction: Direction, family: Family) -> Iterator[tuple[str, str]]:
    """What matches some of them, and what becomes of what matches."""
    word = f"{ip_word(family)} {_field(direction)}"
    if peers is None:
        yield "", "accept"
        return
    for peer in peers:
        if isinstance(peer, Group):
            yield f"{word} @{group_set(peer)}", "accept"
        elif of_family((peer.cidr,), family):
            whole = f"{word} {peer.cidr}" if ipaddress.ip_network(peer.cidr).prefixlen else ""
            yield whole, f"jump {_block_chain(peer, direction)}" if peer.excepted else "accept"


def _ports(ports: Iterable[Port], family: Family) -> Iterator[str]:
    listed = tuple(ports)
    for protocol in _PROTOCOLS:
        mine = [port for port in listed if port.protocol == protocol]
        word = protocol.lower()
        if any(not port.first and not port.name for port in mine):
            yield f"meta l4proto {word}"
            continue
        ranges = _merged((port.first, port.last) for port in mine if port.first)
        if single := ", ".join(str(first) for first, last in ranges if first == last):
            yield f"{word} dport {{ {single} }}"
        yield from (f"{word} dport {first}-{last}" for first, last in ranges if first != last)
        for name in sorted({port.name for port in mine if port.name}):
            yield f"{ip_word(family)} daddr . {word} dport @{names.nft_named_port(protocol, name)}"


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted, none overlapping: nft refuses what does."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def group_set(group: Group) -> str:
    """The name of the set of a group's addresses."""
    parts = (group.namespace, _text(group.namespaces), _text(group.pods))
    return names.nft_group("\n".join(parts))


def _text(selector: LabelSelector) -> str:
    # Only here does the selector of nothing need a text, since it has no conditions to show.
    return "nothing" if selector.impossible else f"[{selector}]"

"""May this connection begin? The same answer as the rules', without them. Pure.

For people who ask (`wherry trace`), and for tests, which hold the rules against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netproxy.ground import lies_in
from netproxy.policy.model import Block, Direction, Peer, Pod, Policy, Port, Rule


@dataclass(frozen=True)
class Party:
    """One end of a connection: an address, and the pod that has it, if one does."""

    ip: str
    pod: Pod | None = None
    node: str = ""
    """of an address that is a node's own: whose"""


@dataclass(frozen=True)
class Cluster:
    """What decides."""

    policies: tuple[Policy, ...]
    namespaces: Mapping[str, Mapping[str, str]]
    """labels by name"""


@dataclass(frozen=True)
class Verdict:
    """`why` says it of each direction in which somebody judges, egress first."""

    allowed: bool
    why: tuple[str, ...]


def judge(
    cluster: Cluster, source: Party, target: Party, protocol: str, port: int, comes_as: Party | None = None
) -> Verdict:
    """A connection from one party to another after its destination was translated; protocol in upper case. `comes_as`:
    whom the target's node takes for its source, where that is another."""
    if source.pod and target.pod and source.pod.key == target.pod.key:
        return Verdict(True, ("a pod may always speak to itself",))
    why: list[str] = []
    allowed = True
    if source.pod:
        one, text = _direction(cluster, Direction.EGRESS, source.pod, target, target, protocol, port)
        allowed, why = one, [text]
    # What is on no node (the DNS that nodes answer themselves) is a peer, and isolated by nobody.
    if target.pod and target.pod.node and allowed:
        source = comes_as or source
        if source.node and source.node == target.pod.node:
            return Verdict(True, (*why, "ingress: a node may always speak to its own pods"))
        allowed, text = _direction(cluster, Direction.INGRESS, target.pod, source, target, protocol, port)
        why.append(text)
    return Verdict(allowed, tuple(why))


def _direction(
    cluster: Cluster, direction: Direction, pod: Pod, other: Party, target: Party, protocol: str, port: int
) -> tuple[bool, str]:
    word = direction.value.lower()
    isolating = [p for p in cluster.policies if p.selects(pod) and p.rules(direction) is not None]
    if not isolating:
        return True, f"{word}: no policy selects {pod.key}"
    for policy in sorted(isolating, key=lambda p: p.key):
        for number, rule in enumerate(policy.rules(direction) or ()):
            if _peers(cluster, rule, other) and _ports(rule, target, protocol, port):
                return True, f"{word}: allowed by rule {number + 1} of {policy.key}"
    return False, f"{word}: no rule allows it of {', '.join(sorted(p.key for p in isolating))}"


def _peers(cluster: Cluster, rule: Rule, other: Party) -> bool:
    return rule.peers is None or any(_peer(cluster, peer, other) for peer in rule.peers)


def _peer(cluster: Cluster, peer: Peer, other: Party) -> bool:
    if isinstance(peer, Block):
        return lies_in(other.ip, (peer.cidr,)) and not lies_in(other.ip, peer.excepted)
    return other.pod is not None and peer.has(other.pod, cluster.namespaces.get(other.pod.namespace))


def _ports(rule: Rule, target: Party, protocol: str, port: int) -> bool:
    return rule.ports is None or any(_port(one, target, protocol, port) for one in rule.ports)


def _port(wanted: Port, target: Party, protocol: str, port: int) -> bool:
    if wanted.protocol != protocol:
        return False
    if wanted.name:
        return target.pod is not None and (protocol, wanted.name, port) in target.pod.ports
    return not wanted.first or wanted.first <= port <= wanted.last

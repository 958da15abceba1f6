"""A node with what is on it, as a frozen value: a change makes a new one, so that its identity says what is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apimachinery.pods.ports import HostPort
from apimachinery.pods.requests import Amounts
from controlplane.scheduler.extract import Node, Pod


@dataclass(frozen=True, eq=False)
class NodeInfo:
    """A node with the pods bound or assumed there. `requested` and `scored` have the units of Amounts."""

    node: Node
    pods: Mapping[str, Pod]
    requested: Amounts
    scored: Amounts
    ports: frozenset[HostPort]

    def with_node(self, node: Node) -> NodeInfo:
        """The same pods on a node that has changed."""
        return NodeInfo(node, self.pods, self.requested, self.scored, self.ports)

    def with_pod(self, pod: Pod) -> NodeInfo:
        """The node with `pod` counted in, as a new value."""
        return NodeInfo(
            self.node,
            {**self.pods, pod.uid: pod},
            _plus(self.requested, pod.requests, 1),
            _plus(self.scored, pod.scored, 1),
            self.ports | pod.ports if pod.ports else self.ports,
        )

    def without(self, pod: Pod) -> NodeInfo:
        """The node with `pod` (which must be on it) counted out, as a new value."""
        pods = dict(self.pods)
        del pods[pod.uid]
        ports = self.ports
        if pod.ports:
            ports = frozenset(port for p in pods.values() for port in p.ports)
        requested, scored = _plus(self.requested, pod.requests, -1), _plus(self.scored, pod.scored, -1)
        return NodeInfo(self.node, pods, requested, scored, ports)

    def seeing(self, pod: Pod) -> NodeInfo:
        """The node with another view of a pod that is on it, which takes the same from it."""
        return NodeInfo(self.node, {**self.pods, pod.uid: pod}, self.requested, self.scored, self.ports)


def empty(node: Node) -> NodeInfo:
    """A node without pods."""
    return NodeInfo(node, {}, {}, {}, frozenset())


def _plus(total: Amounts, more: Amounts, sign: int) -> Amounts:
    if not more:
        return total
    result = dict(total)
    for name, amount in more.items():
        value = result.get(name, 0) + sign * amount
        if value:
            result[name] = value
        else:
            result.pop(name, None)
    return result

"""The values policies are judged in: frozen, free of Kubernetes' dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from apimachinery.selectors import LabelSelector

NamedPort = tuple[str, str]
"""(protocol, the name a container gives the port)"""


class Direction(Enum):
    """As seen from the pod a policy selects; the value is policyTypes' word."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that may send or receive. Pods of the host's network and finished ones are none: they have no address of
    their own."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    ips: tuple[str, ...]
    """of both families, in canonical text"""
    ports: tuple[tuple[str, str, int], ...] = ()
    """(protocol, name, number) of its named ports"""
    node: str = ""
    born: str = ""
    """creationTimestamp: of two pods with one address the younger has it"""

    @property
    def key(self) -> str:
        """namespace/name."""
        return f"{self.namespace}/{self.name}"


def cluster_dns(ips: Iterable[str]) -> Pod:
    """The DNS that nodes answer themselves at these addresses stands where a cluster's DNS pods would: with the labels
    that policies name, and on no node."""
    ports = (("TCP", "dns-tcp", 53), ("UDP", "dns", 53))
    return Pod("kube-system", "", {"k8s-app": "kube-dns"}, tuple(ips), ports)


@dataclass(frozen=True, slots=True)
class Group:
    """Pods by their labels, in `namespace`, or, when that is empty, in all namespaces that `namespaces` matches."""

    namespace: str
    namespaces: LabelSelector
    pods: LabelSelector

    def has(self, pod: Pod, namespace_labels: Mapping[str, str] | None) -> bool:
        """Whether the pod belongs to it; None: its namespace is not known, and matches no selector."""
        if self.namespace:
            return pod.namespace == self.namespace and self.pods.matches(pod.labels)
        known = namespace_labels is not None and self.namespaces.matches(namespace_labels)
        return known and self.pods.matches(pod.labels)


@dataclass(frozen=True, slots=True)
class Block:
    """A range of addresses without some of its parts, in canonical text."""

    cidr: str
    excepted: tuple[str, ...] = ()


Peer = Group | Block


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a protocol: a range of numbers, a name, or, with neither, every port."""

    protocol: str
    """TCP, UDP or SCTP"""
    first: int = 0
    last: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed: these peers, on these ports. None: every peer, or every port of every protocol."""

    peers: tuple[Peer, ...] | None
    ports: tuple[Port, ...] | None


@dataclass(frozen=True, slots=True)
class Policy:
    """A NetworkPolicy. A direction of which it says nothing (None) stays as open as it was."""

    namespace: str
    name: str
    selector: LabelSelector
    ingress: tuple[Rule, ...] | None
    egress: tuple[Rule, ...] | None

    @property
    def key(self) -> str:
        """namespace/name."""
        return f"{self.namespace}/{self.name}"

    def rules(self, direction: Direction) -> tuple[Rule, ...] | None:
        """The rules of one direction; None when this policy does not isolate in it."""
        return self.ingress if direction is Direction.INGRESS else self.egress

    def selects(self, pod: Pod) -> bool:
        """Whether the pod is one of its own."""
        return pod.namespace == self.namespace and self.selector.matches(pod.labels)

    @property
    def all_rules(self) -> tuple[Rule, ...]:
        """Of both directions."""
        return (*(self.ingress or ()), *(self.egress or ()))

    @property
    def groups(self) -> frozenset[Group]:
        """Every group of pods its rules name."""
        return frozenset(p for rule in self.all_rules for p in rule.peers or () if isinstance(p, Group))

    @property
    def named_ports(self) -> frozenset[NamedPort]:
        """Every port its rules call by name."""
        return frozenset((p.protocol, p.name) for rule in self.all_rules for p in rule.ports or () if p.name)

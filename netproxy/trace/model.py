"""What a trace is asked about, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from apimachinery.objects import Obj
from netproxy.policy.model import Pod


class TraceError(Exception):
    """The question cannot be answered: what is unknown, and what to write instead."""


@dataclass(frozen=True)
class Objects:
    """The cluster, as the API lists it."""

    services: Sequence[Obj] = ()
    slices: Sequence[Obj] = ()
    pods: Sequence[Obj] = ()
    nodes: Sequence[Obj] = ()
    namespaces: Sequence[Obj] = ()
    policies: Sequence[Obj] = ()
    dns: Pod | None = None
    """what every node answers itself for the cluster's DNS (cluster_dns); None where pods do"""

    def own_dns(self, ip: str) -> Pod | None:
        """The DNS of the nodes themselves, if this is its address."""
        return self.dns if self.dns and ip in self.dns.ips else None


@dataclass(frozen=True)
class Proxy:
    """How one node's proxy is set."""

    mode: str = "nftables"
    masquerade_all: bool = False
    node_port_cidrs: tuple[str, ...] = ()
    """node ports answer at those of the node's addresses that lie in these; empty: at all of them"""
    pod_interface: str = ""
    """in place of cluster_cidrs: pods are known by the interface they come by, so those of this node alone"""


@dataclass(frozen=True)
class Rules:
    """How the nodes make rules of them."""

    proxies: Mapping[str, Proxy] = field(default_factory=dict)
    """by node; as they are without being told where nothing is said"""
    cluster_cidrs: Sequence[str] = ()
    service_cidrs: Sequence[str] = ()
    """where pods and cluster IPs lie, of both families"""
    policies: bool = True
    """somebody of ours enforces NetworkPolicies"""
    below: str = ""
    """why nobody sees frames that two pods of the source's node send each other by their own addresses; empty: it is
    seen"""

    def proxy_of(self, node: str) -> Proxy:
        """How the node's is set."""
        return self.proxies.get(node, Proxy())


@dataclass(frozen=True)
class End:
    """One end: an address, who has it, and the node whose rules its packets pass first (empty: none of them)."""

    title: str
    ip: str
    node: str = ""
    pod: Obj | None = None
    port: int = 0
    """the one its owner suggests, when nobody names one; 0: none"""


class Outcome(Enum):
    """What becomes of a first packet."""

    ARRIVES = "arrives"
    PASSES = "passes"
    """no rule takes it: it goes on to that very address, where nobody is known to be"""
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True)
class Way:
    """One way a first packet may take; `why` tells every decision on it, in their order."""

    outcome: Outcome
    to: str
    """ip:port"""
    title: str
    why: tuple[str, ...]
    chance: float = 1.0
    """that the rules choose this one"""
    masqueraded: bool = False
    """the target sees a node's address, not the source's"""


@dataclass(frozen=True)
class Trace:
    """The answer. Several ways: the rules choose one at random for each connection."""

    source: End
    target: End
    port: int
    protocol: str
    ways: tuple[Way, ...]
    steps: tuple[str, ...] = field(default=())
    """what happens on each of them before they part"""

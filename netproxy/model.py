"""The values everything here speaks in: frozen, hashable, free of Kubernetes' dictionaries.

All are tuples: to make, hash and compare tens of thousands of them is then the interpreter's work.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Family(IntEnum):
    """An address family; the value is the IP version."""

    IPV4 = 4
    IPV6 = 6

    # It is part of every key, and Enum's own is a function in Python.
    __hash__ = int.__hash__

    @property
    def title(self) -> str:
        """As the API writes it: IPv4 or IPv6."""
        return f"IPv{self.value}"


class PortKey(NamedTuple):
    """Names one port of one Service in one family. `port` is the port's name and may be empty."""

    namespace: str
    service: str
    port: str
    protocol: str
    """TCP, UDP or SCTP"""
    family: Family

    @property
    def title(self) -> str:
        """namespace/service or namespace/service:port, as rules' comments and chain hashes carry it."""
        base = f"{self.namespace}/{self.service}"
        return f"{base}:{self.port}" if self.port else base


class ServicePort(NamedTuple):
    """What a Service asks for on one port, in one family."""

    key: PortKey
    cluster_ip: str
    port: int
    node_port: int = 0
    """0: none"""
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    """ingress addresses in VIP mode; those in Proxy mode are left out"""
    source_ranges: tuple[str, ...] = ()
    """CIDRs that may use the load balancer addresses; empty: everyone"""
    external_local: bool = False
    internal_local: bool = False
    affinity_seconds: int = 0
    """ClientIP session affinity; 0: none"""
    health_check_node_port: int = 0

    @property
    def externally_accessible(self) -> bool:
        """True when traffic from outside the cluster has an address to come to."""
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """External policy Local needs them too, for the short cut of pods and the node itself."""
        return not self.internal_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        """True when some traffic may only go to this node's endpoints."""
        return self.internal_local or (self.external_local and self.externally_accessible)


class Endpoint(NamedTuple):
    """One address of an EndpointSlice with one port, and all that decides whether it may be chosen."""

    ip: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node_name: str = ""
    zone_hints: frozenset[str] = frozenset()
    node_hints: frozenset[str] = frozenset()


class Backend(NamedTuple):
    """A chosen endpoint: where packets are sent. `local`: it runs on this node (it may call itself:
    hairpin)."""

    ip: str
    port: int
    local: bool = False


class Route(NamedTuple):
    """A ServicePort with this node's choice of endpoints: all a mode's planner needs to know of it."""

    port: ServicePort
    cluster: tuple[Backend, ...]
    """for traffic of policy Cluster, sorted"""
    local: tuple[Backend, ...]
    """for traffic of policy Local, sorted; empty too when no policy asks for it"""
    has_endpoints: bool
    """some usable endpoint exists somewhere in the cluster: without one traffic is rejected, not dropped"""
    at_node: bool = True
    """False on a host that is no node: what passes it is for a node to judge"""
    draining: bool = False
    """what there is of `local` is on its way out: it is sent what comes, and balancers are told to send nothing"""

    @property
    def internal(self) -> tuple[Backend, ...]:
        """Backends of the cluster IP."""
        return self.local if self.port.internal_local else self.cluster

    @property
    def external(self) -> tuple[Backend, ...]:
        """Backends of node port, external and load balancer addresses for traffic from outside."""
        return self.local if self.port.external_local else self.cluster

    @property
    def refuses_external(self) -> bool:
        """Whether traffic from outside ends here. Policy Local asks for a node with an endpoint: a host that is none
        lets packets on to the node that has one, as a router or a bridge on their way does.
        """
        passes = self.port.external_local and self.has_endpoints and not self.at_node
        return not self.external and not passes

    @property
    def reachable(self) -> tuple[Backend, ...]:
        """All backends some packet may be sent to, sorted, without duplicates."""
        return tuple(sorted({*self.cluster, *self.local}))

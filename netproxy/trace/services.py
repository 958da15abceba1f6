"""What a node's rules do with the first packet to a Service, by its Route and the proxy's mode. Pure.

The rules themselves are the planners' business; tests/netproxy/test_trace_rules.py sends the same packets through both.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from netproxy.ground import Ground, allowed_sources, lies_in
from netproxy.model import Backend, Route, ServicePort
from netproxy.trace.model import Outcome


class Front(Enum):
    """What kind of address of a Service a packet is sent to."""

    CLUSTER_IP = "cluster IP"
    EXTERNAL_IP = "external IP"
    LOAD_BALANCER = "load balancer's address"
    NODE_PORT = "node port"


@dataclass(frozen=True)
class Sender:
    """Who sends, as the node sees it whose rules are asked. `here`: the node itself."""

    ip: str
    pod: bool
    here: bool

    @property
    def inside(self) -> bool:
        """Whether external policy Local lets it go to endpoints of other nodes, too."""
        return self.pod or self.here


@dataclass(frozen=True)
class Verdict:
    """`backends`: one of them, at random, with the same chance; none unless the packet arrives. `why` says it all."""

    outcome: Outcome
    why: str
    backends: tuple[Backend, ...] = ()
    masqueraded: bool = False
    """the endpoint sees an address of the node in place of the sender's"""


def front_of(port: ServicePort, ip: str, number: int, protocol: str, at_node: bool) -> Front | None:
    """Which of the Service port's addresses this is; None for none. `at_node`: the address is the node's own."""
    if port.key.protocol != protocol:
        return None
    fronts = (
        (Front.CLUSTER_IP, (port.cluster_ip,)),
        (Front.LOAD_BALANCER, port.load_balancer_ips),
        (Front.EXTERNAL_IP, port.external_ips),
    )
    for front, addresses in fronts:
        if ip in addresses and number == port.port:
            return front
    return Front.NODE_PORT if at_node and port.node_port and number == port.node_port else None


def judge(route: Route, front: Front, sender: Sender, mode: str, ground: Ground) -> Verdict:
    """What becomes of the packet; to which endpoints it may go, and whether under its own address."""
    if mode == "userspace" and route.port.key.protocol == "SCTP":
        return Verdict(Outcome.REFUSED, "userspace mode relays no SCTP")
    if front is Front.LOAD_BALANCER and not _is_admitted(route.port, sender, ground):
        return _refused(mode, "its load balancer source ranges leave the sender out")
    backends, policy = _backends(route, front, sender, mode)
    if not backends:
        return _nobody(route, front, sender, mode)
    many = f"one of {len(backends)} endpoints" if len(backends) > 1 else "its one endpoint"
    bound = route.port.affinity_seconds
    kept = f", the same one for a client that was away less than {bound} s" if bound else ""
    hidden = mode == "userspace" or _is_masqueraded(route.port, front, sender, mode, ground)
    return Verdict(Outcome.ARRIVES, f"{many} (policy {policy}{kept})", backends, hidden)


def unused(target: str, routes: Collection[Route], mode: str, ground: Ground) -> Verdict | None:
    """For a packet that no Service port takes; None when nobody minds where it goes."""
    if any(target == route.port.cluster_ip for route in routes):
        why = f"{target} is a cluster IP without such a port"
        return Verdict(Outcome.DROPPED if mode == "iptables" else Outcome.REFUSED, why)
    if lies_in(target, ground.service_cidrs):
        return Verdict(Outcome.DROPPED, f"{target} is in the range of cluster IPs, and no Service has it")
    if mode in ("ipvs", "userspace") and any(_is_held(target, route) for route in routes):
        return Verdict(Outcome.REFUSED, f"in {mode} mode {target} is the node's own, and it has no such port")
    return None


def _is_held(target: str, route: Route) -> bool:
    """Whether the node takes the address for its own, where a mode does that."""
    mine = bool(route.external) or route.refuses_external
    return mine and target in (*route.port.external_ips, *route.port.load_balancer_ips)


def _backends(route: Route, front: Front, sender: Sender, mode: str) -> tuple[tuple[Backend, ...], str]:
    """Whom the packet may be sent to, and by which traffic policy."""
    if front is Front.CLUSTER_IP:
        return route.internal, "Local" if route.port.internal_local else "Cluster"
    if not route.port.external_local:
        return route.cluster, "Cluster"
    if mode == "ipvs" and route.local:
        # A virtual server has one list of real servers for everybody.
        return route.local, "Local"
    if sender.inside:
        return route.cluster, "Local, of which pods and the node itself are free"
    return route.local, "Local"


def _nobody(route: Route, front: Front, sender: Sender, mode: str) -> Verdict:
    if mode == "iptables" and front is Front.LOAD_BALANCER and route.port.source_ranges:
        return Verdict(Outcome.DROPPED, "in iptables mode source ranges drop what is not led to an endpoint")
    if front is not Front.CLUSTER_IP and not route.external and not route.refuses_external:
        return Verdict(Outcome.PASSES, "it is left to a node that has an endpoint")
    if route.has_endpoints:
        return _refused(mode, "no endpoint of it runs on this node, and its traffic policy is Local")
    if mode == "iptables" and sender.here and front in (Front.EXTERNAL_IP, Front.LOAD_BALANCER):
        return Verdict(Outcome.PASSES, "it has no endpoints, and iptables mode refuses nothing of the node itself")
    return Verdict(Outcome.REFUSED, "it has no endpoints")


def _refused(mode: str, why: str) -> Verdict:
    """Passed over in silence, where a mode can do that: a relay can only turn away."""
    return Verdict(Outcome.REFUSED if mode == "userspace" else Outcome.DROPPED, why)


def _is_admitted(port: ServicePort, sender: Sender, ground: Ground) -> bool:
    if not port.source_ranges:
        return True
    return lies_in(sender.ip, allowed_sources(port.source_ranges, port.load_balancer_ips, ground))


def _is_masqueraded(port: ServicePort, front: Front, sender: Sender, mode: str, ground: Ground) -> bool:
    if front is Front.CLUSTER_IP:
        if ground.masquerade_all:
            return True
        # Where pods' addresses are unknown, who is none cannot be told.
        knows_pods = ground.cluster_cidrs or ground.pod_interface
        return not sender.pod if knows_pods else mode == "ipvs" and sender.here
    return sender.here if port.external_local else True

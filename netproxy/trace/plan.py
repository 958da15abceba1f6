"""The way of a first packet: which Service takes it, where to, who judges it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apimachinery.objects import labels, name
from netproxy import views
from netproxy.model import Backend, Family, Route, ServicePort
from netproxy.names import address
from netproxy.policy import views as policy_views
from netproxy.policy.verdict import Cluster, Party, judge
from netproxy.topology import Place
from netproxy.trace.model import End, Objects, Outcome, Trace, TraceError, Way
from netproxy.trace.resolve import node_ips, resolve
from netproxy.tracker import Tracker

_FAMILIES = (Family.IPV4, Family.IPV6)


def trace(
    objects: Objects,
    source: End,
    target: End,
    port: int,
    protocol: str,
    policies: bool = True,
    below: str = "",
) -> Trace:
    """Every way a first packet may take; protocol in upper case, `policies`: somebody of ours enforces them. `below`:
    why nobody sees frames that two pods of the source's node send each other by their own addresses, empty: it is seen.

    A packet from outside the cluster meets the rules of the node it comes to: that of the address, else any node's.
    """
    if port == 0 and (port := target.port) == 0:
        raise TraceError("which port? write TO:PORT")
    where = source.node or target.node or (name(objects.nodes[0]) if objects.nodes else "")
    routes = tuple(_routes(objects, where))
    route = next((r for r in routes if _takes(r.port, target, port, protocol, objects)), None)
    question = _Judge(objects, source, protocol, policies)
    if route is None:
        beside = source.pod is not None and target.pod is not None and source.node == target.node
        so_far = () if objects.own_dns(target.ip) else (f"no Service has {target.ip}:{port}/{protocol}",)
        way = question.way(Backend(target.ip, port), so_far, below if beside else "")
        return Trace(source, target, port, protocol, (way,))
    steps = (f"Service {route.port.key.title} takes it, by the rules of {where or 'the node it comes to'}",)
    ways = tuple(_ways(route, target, port, source, question))
    return Trace(source, target, port, protocol, ways, steps)


def _routes(objects: Objects, where: str) -> Iterator[Route]:
    node = next((n for n in objects.nodes if name(n) == where), None)
    place = Place(where, labels(node).get(views.ZONE_LABEL, "") if node else "")
    here = {(ip, port) for ip in objects.dns.ips for _, _, port in objects.dns.ports} if objects.dns else set()
    tracker = Tracker(_FAMILIES, place, lambda: None, here)
    for service in filter(views.proxied, objects.services):
        tracker.service_changed(None, service)
    for one in filter(views.proxied, objects.slices):
        tracker.slice_changed(None, one)
    yield from (route for route in tracker.drain().routes.values() if route is not None)


def _takes(port: ServicePort, target: End, number: int, protocol: str, objects: Objects) -> bool:
    if port.key.protocol != protocol:
        return False
    fronts = (port.cluster_ip, *port.external_ips, *port.load_balancer_ips)
    if target.ip in fronts:
        return number == port.port
    at_node = any(target.ip in node_ips(node) for node in objects.nodes)
    return at_node and bool(port.node_port) and number == port.node_port


def _ways(route: Route, target: End, number: int, source: End, question: _Judge) -> Iterator[Way]:
    of_cluster_ip = target.ip == route.port.cluster_ip
    # Pods and nodes take the short cut to any endpoint, also by an external address of policy Local.
    local = route.port.internal_local if of_cluster_ip else route.port.external_local and not source.node
    backends = route.local if local else route.cluster
    if not backends:
        nowhere = (Outcome.REFUSED, "it has no endpoints")
        elsewhere = (Outcome.DROPPED, "no endpoint of it runs on this node, and its traffic policy is Local")
        outcome, why = elsewhere if route.has_endpoints else nowhere
        yield Way(outcome, f"{target.ip}:{number}", "nobody", (why,))
        return
    share = f"{f'one of {len(backends)} endpoints' if len(backends) > 1 else 'its one endpoint'}"
    share += f" (policy {'Local' if local else 'Cluster'})"
    for backend in backends:
        yield question.way(backend, (f"translated to {address(backend)}, {share}",))


class _Judge:
    """Policies on the way to an endpoint."""

    def __init__(self, objects: Objects, source: End, protocol: str, policies: bool) -> None:
        self._objects = objects
        self._source = source
        self._protocol = protocol
        self._enforced = policies
        spaces = {name(space): labels(space) for space in objects.namespaces}
        self._cluster = Cluster(tuple(map(policy_views.policy, objects.policies)), spaces)

    def way(self, backend: Backend, so_far: Iterable[str], unseen: str = "") -> Way:
        """To this endpoint, once it is known; `unseen`: why no rule sees the packet."""
        target = resolve(backend.ip, self._objects, "")
        if unseen or not self._enforced:
            why = f"NetworkPolicies are {unseen or 'not enforced'}"
            return Way(Outcome.ARRIVES, address(backend), target.title, (*so_far, why))
        own = self._objects.own_dns(target.ip)
        goal = Party(target.ip, own) if own else _party(target)
        told = judge(self._cluster, _party(self._source), goal, self._protocol, backend.port)
        outcome = Outcome.ARRIVES if told.allowed else Outcome.DROPPED
        return Way(outcome, address(backend), target.title, (*so_far, *told.why))


def _party(end: End) -> Party:
    return Party(end.ip, policy_views.pod(end.pod), "" if end.pod else end.node)

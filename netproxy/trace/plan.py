"""The way of a first packet: which Service takes it, where to, who judges it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from apimachinery.objects import labels, name
from netproxy import views
from netproxy.ground import Ground, grounds, lies_in, node_port_addresses
from netproxy.model import Backend, Family, Route
from netproxy.names import address
from netproxy.policy import views as policy_views
from netproxy.policy.verdict import Cluster, Party, judge
from netproxy.topology import Place
from netproxy.trace import services
from netproxy.trace.model import End, Objects, Outcome, Rules, Trace, TraceError, Way
from netproxy.trace.resolve import node_ips, resolve
from netproxy.trace.services import Front, Sender, Verdict
from netproxy.tracker import Tracker

_FAMILIES = (Family.IPV4, Family.IPV6)


def trace(
    objects: Objects,
    source: End,
    target: End,
    port: int,
    protocol: str,
    rules: Rules = Rules(),  # noqa: B008
) -> Trace:
    """Every way a first packet may take; protocol in upper case.

    A node port is the business of the node that has the address; anything else meets the rules of the sender's own
    node, and a packet from outside the cluster those of whichever node it comes to.
    """
    if port == 0 and (port := target.port) == 0:
        raise TraceError("which port? write TO:PORT")
    found = _Question(objects, source, target, port, protocol, rules)
    return Trace(source, target, port, protocol, *found.answer())


class _Question:
    """One packet, and the node whose rules it meets."""

    def __init__(self, objects: Objects, source: End, target: End, port: int, protocol: str, rules: Rules) -> None:
        self._objects, self._rules = objects, rules
        self._source, self._target, self._port, self._protocol = source, target, port, protocol
        first = name(objects.nodes[0]) if objects.nodes else ""
        self._where = where = ("" if target.pod else target.node) or source.node or target.node or first
        self._mode = rules.proxy_of(where).mode
        self._ground = _ground(objects, where, target.ip, rules)
        pod = self._comes_from_pods()
        self._sender = Sender(source.ip, pod, here=not pod and bool(where) and source.node == where)
        self._judge = _Judge(objects, protocol, rules.policies)

    def answer(self) -> tuple[tuple[Way, ...], tuple[str, ...]]:
        """The ways, and what happens on all of them."""
        routes = tuple(_routes(self._objects, self._where))
        for route in routes:
            if front := self._front(route):
                by = f"by the rules of {self._where or 'the node it comes to'} ({self._mode})"
                steps = (f"Service {route.port.key.title} takes it at its {front.value}, {by}",)
                verdict = services.judge(route, front, self._sender, self._mode, self._ground)
                return tuple(self._ways(verdict)), steps
        own = self._objects.own_dns(self._target.ip)
        lost = None if own else services.unused(self._target.ip, routes, self._mode, self._ground)
        return (tuple(self._ways(lost)) if lost else (self._straight(),)), ()

    def _comes_from_pods(self) -> bool:
        """As the node can tell: its own pods by their interface, or all of the cluster by their address."""
        source = self._source
        if self._ground.pod_interface:
            return source.pod is not None and source.node == self._where
        return source.pod is not None or lies_in(source.ip, self._ground.cluster_cidrs)

    def _front(self, route: Route) -> Front | None:
        at_node = self._target.ip in node_port_addresses(self._ground, self._ground.node_ips)
        return services.front_of(route.port, self._target.ip, self._port, self._protocol, at_node)

    def _straight(self) -> Way:
        """To the address itself."""
        source, target = self._source, self._target
        beside = source.pod is not None and target.pod is not None and source.node == target.node
        own = self._objects.own_dns(target.ip)
        so_far = () if own else (f"no Service has {target.ip}:{self._port}/{self._protocol}",)
        me = _party(source)
        return self._judge.way(Backend(target.ip, self._port), so_far, me, me, self._rules.below if beside else "")

    def _ways(self, verdict: Verdict) -> Iterator[Way]:
        if verdict.outcome is not Outcome.ARRIVES:
            yield Way(verdict.outcome, address(Backend(self._target.ip, self._port)), "nobody", (verdict.why,))
        for backend in verdict.backends:
            hairpin = backend.ip == self._source.ip
            masqueraded = verdict.masqueraded or hairpin
            source = f"keeps its source {self._source.ip}"
            if masqueraded:
                source = f"comes from an address of {self._where or 'the node'}"
                source += ", so that the answer passes here" if hairpin and not verdict.masqueraded else ""
            so_far = (f"translated to {address(backend)}, {verdict.why}", f"it {source}")
            way = self._judge.way(backend, so_far, *self._senders(backend, masqueraded))
            yield replace(way, chance=1 / len(verdict.backends), masqueraded=masqueraded)

    def _senders(self, backend: Backend, masqueraded: bool) -> tuple[Party, Party]:
        """Who the rules of the source's node and those of the endpoint's node take for the sender. Masquerading comes
        after this node's own judgement; a relay speaks for itself."""
        me, node = _party(self._source), Party((*self._ground.node_ips, self._source.ip)[0], None, self._where)
        if self._mode == "userspace":
            return node, node
        elsewhere = resolve(backend.ip, self._objects, "").node != self._where
        return me, node if masqueraded and elsewhere else me


def _ground(objects: Objects, where: str, target: str, rules: Rules) -> Ground:
    node_addresses = tuple(ip for node in objects.nodes if name(node) == where for ip in node_ips(node))
    family, proxy = views.family_of(target), rules.proxy_of(where)
    whole = Ground(
        family,
        cluster_cidrs=() if proxy.pod_interface else tuple(rules.cluster_cidrs),
        pod_interface=proxy.pod_interface,
        service_cidrs=tuple(rules.service_cidrs),
        node_ips=node_addresses,
        node_port_cidrs=proxy.node_port_cidrs,
        masquerade_all=proxy.masquerade_all,
    )
    return grounds(whole, (family,))[0]


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


class _Judge:
    """Policies on the way to an endpoint."""

    def __init__(self, objects: Objects, protocol: str, policies: bool) -> None:
        self._objects = objects
        self._protocol = protocol
        self._enforced = policies
        spaces = {name(space): labels(space) for space in objects.namespaces}
        self._cluster = Cluster(tuple(map(policy_views.policy, objects.policies)), spaces)

    def way(self, backend: Backend, so_far: Iterable[str], leaves_as: Party, comes_as: Party, unseen: str = "") -> Way:
        """To this endpoint, once it is known; `unseen`: why no rule sees the packet."""
        target = resolve(backend.ip, self._objects, "")
        if unseen or not self._enforced:
            why = f"NetworkPolicies are {unseen or 'not enforced'}"
            return Way(Outcome.ARRIVES, address(backend), target.title, (*so_far, why))
        own = self._objects.own_dns(target.ip)
        goal = Party(target.ip, own) if own else _party(target)
        told = judge(self._cluster, leaves_as, goal, self._protocol, backend.port, comes_as)
        outcome = Outcome.ARRIVES if told.allowed else Outcome.DROPPED
        return Way(outcome, address(backend), target.title, (*so_far, *told.why))


def _party(end: End) -> Party:
    return Party(end.ip, policy_views.pod(end.pod), "" if end.pod else end.node)

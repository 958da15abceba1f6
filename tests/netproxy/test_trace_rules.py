"""`wherry trace` says where the rules of each mode lead: the same packets through both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netproxy import modes
from netproxy.ground import grounds
from netproxy.model import Family
from netproxy.topology import Place
from netproxy.trace.model import Objects, Outcome, Proxy, Rules
from netproxy.trace.plan import trace
from netproxy.trace.resolve import resolve
from netproxy.userspace.plan import plan
from tests.netproxy.packet import REJECTED, UNTOUCHED, End, Packet, collect
from tests.netproxy.policy.world import pod
from tests.netproxy.simulated import BASE, endpoint, endpoint_slice, rules_for, service, tracker
from tests.netproxy.test_incremental import specs
from tests.netproxy.test_trace import node
from tests.netproxy.test_userspace import NODE, relayed

HERE, THERE = Place("node1", "z1"), "10.244.2.5"
ENDPOINTS = [endpoint("10.244.1.5", "node1"), endpoint("10.244.1.6", "node1"), endpoint(THERE)]
SOURCES = ("10.244.1.9", "10.244.1.5", "10.20.0.11", "198.51.100.9", "192.0.2.77")
FRONTS = (
    *((ip, port) for ip in ("10.96.0.1", "192.0.2.1", "203.0.113.7") for port in (80, 81)),
    ("10.96.7.7", 80),
    *(("10.20.0.11", port) for port in (30001, 30002)),
)
PORTS = [{"name": "p", "port": 8080, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
NODES = [node("node1", "10.20.0.11"), node("node2", "10.20.0.12")]
# With pods by their interface nothing but an object tells that an address is a pod's.
OWN_PODS = ("10.244.1.9", "10.244.1.5")
PODS = [pod("default", f"p{ip[-1]}", ip, "node1") for ip in OWN_PODS]
CAME_BY = {**dict.fromkeys(OWN_PODS, "cni0"), "198.51.100.9": "eth0", "192.0.2.77": "eth0"}
SETTINGS = [
    Proxy(),
    Proxy(masquerade_all=True),
    Proxy(node_port_cidrs=("192.0.2.0/24",)),
    Proxy(node_port_cidrs=("192.0.2.0/24", "10.20.0.0/24")),
    Proxy(pod_interface="cni0"),
    Proxy(pod_interface="cn+", masquerade_all=True),
]
VERDICTS = {Outcome.DROPPED: "drop", Outcome.REFUSED: "reject", Outcome.PASSES: "untouched"}


def told(made: Any, slices: list[Any], packet: Packet, proxy: Proxy) -> dict[End, float]:
    """The trace's answer, as the tracers of the rules write it."""
    objects = Objects(services=[made], slices=slices, nodes=NODES, pods=PODS)
    rules = Rules({"node1": proxy}, BASE.cluster_cidrs, BASE.service_cidrs)
    start, goal = resolve(packet.src, objects, ""), resolve(packet.dst, objects, "")
    found = trace(objects, start, goal, packet.dport, packet.protocol.upper(), rules)
    ends = []
    for way in found.ways:
        taken = "translated" in way.why[0]
        verdict = "sent" if taken else VERDICTS.get(way.outcome, "untouched")
        ends.append((End(verdict, way.to if taken else "", way.masqueraded), way.chance))
    return collect(ends)


def led(made: Any, slices: list[Any], proxy: Proxy) -> Callable[[Packet], dict[End, float]]:
    """Where the mode's rules lead a packet; the guard is another table's, and loses what they leave alone."""
    follow: Callable[[Packet], dict[End, float]]
    base = replace(
        BASE,
        masquerade_all=proxy.masquerade_all,
        node_port_cidrs=proxy.node_port_cidrs,
        pod_interface=proxy.pod_interface,
        cluster_cidrs=() if proxy.pod_interface else BASE.cluster_cidrs,
    )
    if proxy.mode == "userspace":
        track, on = tracker(HERE), grounds(base, (Family.IPV4,))[0]
        track.service_changed(None, made)
        track.slice_changed(None, slices[0])
        pieces = dict(piece for route in track.drain().routes.values() if route for piece in plan(route, on, NODE))
        follow = partial(relayed, pieces, on=on)
    else:
        follow = rules_for(proxy.mode, made, slices, HERE, base).trace

    def guarded(packet: Packet) -> dict[End, float]:
        found = follow(packet)
        return {End("drop"): 1.0} if found == UNTOUCHED and packet.dst.startswith("10.96.") else found

    return guarded


@pytest.mark.parametrize("proxy", SETTINGS)
@pytest.mark.parametrize("mode", modes.mode_names())
@settings(max_examples=4)
@given(
    spec=specs("a"),
    endpoints=st.lists(st.sampled_from(ENDPOINTS), max_size=3, unique_by=lambda e: e["addresses"][0]),
    ingress=st.sampled_from([(), ("203.0.113.7",)]),
)
def test_a_trace_leads_where_the_rules_lead(
    mode: str, proxy: Proxy, spec: dict[str, Any], endpoints: list[Any], ingress: tuple[str, ...]
) -> None:
    made, slices = service(spec, ingress, "a"), [endpoint_slice(*endpoints, owner="a", ports=PORTS)]
    # A relay sees no interfaces.
    proxy = replace(proxy, mode=mode, pod_interface="" if mode == "userspace" else proxy.pod_interface)
    follow = led(made, slices, proxy)
    for source in SOURCES:
        for address, port in FRONTS:
            for protocol in ("tcp", "udp"):
                packet = Packet(source, address, port, protocol, interface=CAME_BY.get(source, ""))
                asked, found = told(made, slices, packet, proxy), follow(packet)
                # Nobody listens at the node's own port: where no rule refuses, the kernel does.
                if not (packet.to_here and found == UNTOUCHED and asked == REJECTED):
                    assert asked == found, packet

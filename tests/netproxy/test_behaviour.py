"""Where packets end: upstream's behaviour table, traced through what each mode writes, in both families.

It is written in IPv4 addresses; for IPv6 each stands for another (`in_six`).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from netproxy import modes
from netproxy.ground import Ground, grounds
from netproxy.model import Family, PortKey
from netproxy.nftables import base
from netproxy.nftables.diff import anew
from netproxy.topology import Place
from tests.netproxy import simulated
from tests.netproxy.packet import DROPPED, REJECTED, UNTOUCHED, End, Packet, sent
from tests.netproxy.simulated import BASE, IpvsRules, Rules, endpoint, endpoint_slice, service

POD, OTHER_POD, NODE, OUTSIDE = "10.244.1.9", "10.244.7.7", "10.20.0.11", "198.51.100.9"
HERE, HERE2, THERE = "10.244.1.5", "10.244.1.6", "10.244.2.5"
VIP, LB, EXTERNAL = "10.96.0.100", "203.0.113.7", "192.0.2.10"
ONE_EACH = (endpoint(HERE, "node1"), endpoint(THERE))
NODE1 = Place("node1", "z1")

# Userspace mode has a table of its own: test_userspace compares it with nftables.
both = pytest.mark.parametrize("mode", [name for name in modes.mode_names() if name != "userspace"])


@pytest.fixture(autouse=True, params=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test of this file is one of each family."""
    monkeypatch.setattr(f"{__name__}._FAMILY", request.param)


_FAMILY = "IPv4"


def rules_for(
    mode: str, made: dict[str, Any], slices: list[dict[str, Any]], place: Place, base: Ground = BASE
) -> Rules | IpvsRules:
    """simulated.rules_for, in the family of the test."""
    if _FAMILY == "IPv4":
        return simulated.rules_for(mode, made, slices, place, base)
    service_, slices_ = json.loads(in_six(json.dumps([made, slices])).replace('"IPv4"', '"IPv6"'))
    rules = simulated.rules_for(mode, service_, slices_, place, base)
    follow = rules.trace

    def trace(packet: Packet) -> dict[End, float]:
        found = follow(replace(packet, src=in_six(packet.src), dst=in_six(packet.dst)))
        return {replace(end, target=_FOURS.get(end.target, end.target)): share for end, share in found.items()}

    rules.trace = trace  # type: ignore[method-assign]
    return rules


_ADDRESS = re.compile(r"\b(\d+)\.(\d+)\.(\d+)\.(\d+)(/\d+)?")
_LENGTHS = {None: "", "/24": "/64", "/28": "/124"}
_FOURS = {
    f"[fd00:244:{a}::{b}]:{port}": f"10.244.{a}.{b}:{port}" for a in range(9) for b in range(9) for port in (8080, 8443)
}


def in_six(text: str) -> str:
    """The text with IPv6 addresses in place of the table's: pods', nodes', cluster IPs, others."""

    def one(found: re.Match[str]) -> str:
        first, second, third, last, length = found.groups()
        if (first, second) == ("10", "244"):
            return f"fd00:244:{third}::{last}"
        network = second if first == "10" else first
        return f"fd00:{network}::{last if last != '0' else ''}{_LENGTHS[length]}"

    return _ADDRESS.sub(one, text)


def to_vip(source: str, port: int = 80, protocol: str = "tcp") -> Packet:
    return Packet(source, VIP, port, protocol)


def to_node_port(source: str, port: int = 30080) -> Packet:
    return Packet(source, NODE, port)


def build(
    mode: str, spec: dict[str, Any], *endpoints: dict[str, Any], ingress: tuple[str, ...] = ()
) -> Rules | IpvsRules:
    return rules_for(mode, service(spec, ingress), [endpoint_slice(*endpoints)], NODE1)


HERE_AND_THERE = (f"{HERE}:8080", f"{THERE}:8080")


@both
def test_cluster_ip(mode: str) -> None:
    rules = build(mode, {}, *ONE_EACH)
    assert rules.trace(to_vip(POD)) == sent(*HERE_AND_THERE)
    assert rules.trace(to_vip(OUTSIDE)) == sent(*HERE_AND_THERE, masquerade=True)
    assert rules.trace(to_vip(NODE)) == sent(*HERE_AND_THERE, masquerade=True)
    assert rules.trace(to_node_port(OUTSIDE)) == UNTOUCHED
    assert rules.trace(Packet(POD, THERE, 8080)) == UNTOUCHED


@both
def test_hairpin_is_masqueraded_and_only_for_the_pod_that_called(mode: str) -> None:
    rules = build(mode, {}, endpoint(HERE, "node1"), endpoint(HERE2, "node1"))
    assert rules.trace(to_vip(HERE)) == {
        End("sent", f"{HERE}:8080", True): 0.5,
        End("sent", f"{HERE2}:8080", False): 0.5,
    }


@both
def test_spread_is_even_over_many_endpoints(mode: str) -> None:
    ips = [f"10.244.3.{i}" for i in range(1, 8)]
    rules = build(mode, {}, *(endpoint(ip) for ip in ips))
    assert rules.trace(to_vip(POD)) == sent(*(f"{ip}:8080" for ip in ips))


def test_an_older_libnftables_gets_the_same_spread_by_other_words() -> None:
    older = replace(BASE, random_by_priority=True)
    slices = [endpoint_slice(*ONE_EACH)]
    spec = {"type": "NodePort", "ports": [{"name": "p", "port": 80, "nodePort": 30080}]}
    rules = rules_for("nftables", service(spec), slices, NODE1, older)
    assert rules.trace(to_vip(POD)) == sent(*HERE_AND_THERE)
    assert rules.trace(to_node_port(OUTSIDE)) == sent(*HERE_AND_THERE, masquerade=True)
    for ground in grounds(older, (Family.IPV4, Family.IPV6)):
        assert ". numgen" not in anew((), base.layout(ground))


@both
@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_protocols_do_not_mix(mode: str, protocol: str) -> None:
    ports = [{"name": "p", "port": 80, "protocol": protocol}]
    slices = [endpoint_slice(*ONE_EACH, ports=[{"name": "p", "port": 8080, "protocol": protocol}])]
    rules = rules_for(mode, service({"ports": ports}), slices, NODE1)
    assert rules.trace(to_vip(POD, protocol=protocol.lower())) == sent(*HERE_AND_THERE)
    assert rules.trace(to_vip(POD)) != sent(*HERE_AND_THERE)


@both
def test_two_ports_lead_to_their_own_target_ports(mode: str) -> None:
    ports = [{"name": "p", "port": 80, "protocol": "TCP"}, {"name": "q", "port": 443, "protocol": "TCP"}]
    slices = [endpoint_slice(endpoint(HERE), ports=[{"name": "p", "port": 8080}, {"name": "q", "port": 8443}])]
    rules = rules_for(mode, service({"ports": ports}), slices, NODE1)
    assert rules.trace(to_vip(POD)) == sent(f"{HERE}:8080")
    assert rules.trace(to_vip(POD, 443)) == sent(f"{HERE}:8443")


@both
def test_no_endpoints_is_rejected_on_every_address(mode: str) -> None:
    ports = [{"name": "p", "port": 80, "protocol": "TCP", "nodePort": 30080}]
    spec = {"type": "LoadBalancer", "externalIPs": [EXTERNAL], "ports": ports}
    rules = build(mode, spec, ingress=(LB,))
    for source in (POD, OUTSIDE, NODE):
        for address in (VIP, LB, EXTERNAL):
            if (mode, source) == ("iptables", NODE) and address != VIP:
                continue  # kube-proxy's KUBE-EXTERNAL-SERVICES is not called from OUTPUT
            assert rules.trace(Packet(source, address, 80)) == REJECTED, (source, address)
    assert rules.trace(to_node_port(OUTSIDE)) == REJECTED


NODE_PORT = {"type": "NodePort", "ports": [{"name": "p", "port": 80, "protocol": "TCP", "nodePort": 30080}]}
BALANCED = {**NODE_PORT, "type": "LoadBalancer"}


@both
def test_node_port(mode: str) -> None:
    rules = build(mode, NODE_PORT, *ONE_EACH)
    for source in (POD, OUTSIDE, NODE):
        assert rules.trace(to_node_port(source)) == sent(*HERE_AND_THERE, masquerade=True), source
    assert rules.trace(to_vip(POD)) == sent(*HERE_AND_THERE)
    assert rules.trace(Packet(OUTSIDE, "10.20.0.12", 30080)) == UNTOUCHED, "another host's address"


@both
def test_external_and_load_balancer_addresses(mode: str) -> None:
    rules = build(mode, {**BALANCED, "externalIPs": [EXTERNAL]}, *ONE_EACH, ingress=(LB,))
    for source in (POD, OUTSIDE, NODE):
        for address in (LB, EXTERNAL):
            assert rules.trace(Packet(source, address, 80)) == sent(*HERE_AND_THERE, masquerade=True)


@both
def test_load_balancer_in_proxy_mode_is_left_to_the_balancer(mode: str) -> None:
    balanced = service(BALANCED)
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": LB, "ipMode": "Proxy"}]}}
    rules = rules_for(mode, balanced, [endpoint_slice(*ONE_EACH)], NODE1)
    assert rules.trace(Packet(OUTSIDE, LB, 80)) == UNTOUCHED


@both
def test_external_policy_local(mode: str) -> None:
    rules = build(mode, {**BALANCED, "externalTrafficPolicy": "Local"}, *ONE_EACH, ingress=(LB,))
    for packet in (to_node_port(OUTSIDE), Packet(OUTSIDE, LB, 80)):
        assert rules.trace(packet) == sent(f"{HERE}:8080")
    # A virtual server has one list of real servers for everybody: no short cut, as with kube-proxy.
    short_cut = (f"{HERE}:8080",) if mode == "ipvs" else HERE_AND_THERE
    for packet in (to_node_port(POD), Packet(POD, LB, 80)):
        assert rules.trace(packet) == sent(*short_cut)
    for packet in (to_node_port(NODE), Packet(NODE, LB, 80)):
        assert rules.trace(packet) == sent(*short_cut, masquerade=True)
    assert rules.trace(to_vip(POD)) == sent(*HERE_AND_THERE)


@both
def test_external_policy_local_without_an_endpoint_here(mode: str) -> None:
    rules = build(mode, {**BALANCED, "externalTrafficPolicy": "Local"}, endpoint(THERE), ingress=(LB,))
    assert rules.trace(to_node_port(OUTSIDE)) == DROPPED
    assert rules.trace(Packet(OUTSIDE, LB, 80)) == DROPPED
    assert rules.trace(to_node_port(POD)) == sent(f"{THERE}:8080")
    assert rules.trace(to_node_port(NODE)) == sent(f"{THERE}:8080", masquerade=True)
    assert rules.trace(to_vip(POD)) == sent(f"{THERE}:8080")


@both
def test_internal_policy_local(mode: str) -> None:
    rules = build(mode, {"internalTrafficPolicy": "Local"}, *ONE_EACH)
    assert rules.trace(to_vip(POD)) == sent(f"{HERE}:8080")
    assert rules.trace(to_vip(OUTSIDE)) == sent(f"{HERE}:8080", masquerade=True)
    assert build(mode, {"internalTrafficPolicy": "Local"}, endpoint(THERE)).trace(to_vip(POD)) == DROPPED
    assert build(mode, {"internalTrafficPolicy": "Local"}).trace(to_vip(POD)) == REJECTED


@both
def test_internal_local_with_a_node_port_keeps_the_policies_apart(mode: str) -> None:
    rules = build(mode, {**NODE_PORT, "internalTrafficPolicy": "Local"}, endpoint(THERE))
    assert rules.trace(to_vip(POD)) == DROPPED
    assert rules.trace(to_node_port(OUTSIDE)) == sent(f"{THERE}:8080", masquerade=True)


@both
def test_source_ranges(mode: str) -> None:
    spec = {**BALANCED, "loadBalancerSourceRanges": ["198.51.100.0/24", "203.0.113.0/28"]}
    rules = build(mode, spec, *ONE_EACH, ingress=(LB,))
    assert rules.trace(Packet(OUTSIDE, LB, 80)) == sent(*HERE_AND_THERE, masquerade=True)
    assert rules.trace(Packet("192.0.2.77", LB, 80)) == DROPPED
    assert rules.trace(Packet(POD, LB, 80)) == DROPPED
    assert rules.trace(Packet("192.0.2.77", VIP, 80)) == sent(*HERE_AND_THERE, masquerade=True)
    assert rules.trace(to_node_port("192.0.2.77")) == sent(*HERE_AND_THERE, masquerade=True)


@both
def test_source_ranges_admit_whom_upstream_admits(mode: str) -> None:
    second = "203.0.113.8"
    spec = {**BALANCED, "loadBalancerSourceRanges": ["10.20.0.0/24", " 198.51.100.0/24"]}
    rules = build(mode, spec, *ONE_EACH, ingress=(LB, second))
    for address in (LB, second):
        for source in (OUTSIDE, NODE):
            assert rules.trace(Packet(source, address, 80)) == sent(*HERE_AND_THERE, masquerade=True)
        # What this node sends to the address may carry it as its source.
        assert rules.trace(Packet(address, address, 80)) == sent(*HERE_AND_THERE, masquerade=True)
        assert rules.trace(Packet("192.0.2.77", address, 80)) == DROPPED
    for ranges in (["10.20.0.0/24", "0.0.0.0/0" if _FAMILY == "IPv4" else "::/0"], ["fd07::/16"][_FAMILY == "IPv6" :]):
        rules = build(mode, {**BALANCED, "loadBalancerSourceRanges": ranges}, *ONE_EACH, ingress=(LB,))
        assert rules.trace(Packet("192.0.2.77", LB, 80)) == sent(*HERE_AND_THERE, masquerade=True), ranges


POLICIES: tuple[dict[str, str], ...] = ({}, {"externalTrafficPolicy": "Local"}, {"internalTrafficPolicy": "Local"})


@both
@pytest.mark.parametrize("policy", POLICIES, ids=["Cluster", "external Local", "internal Local"])
@pytest.mark.parametrize("everybody", [False, True], ids=["", "masquerade_all"])
@pytest.mark.parametrize("known", [True, False], ids=["pods known", "pods unknown"])
def test_who_is_masqueraded(mode: str, known: bool, everybody: bool, policy: dict[str, str]) -> None:
    on = replace(BASE, masquerade_all=everybody, cluster_cidrs=BASE.cluster_cidrs if known else ())
    rules = rules_for(mode, service({**BALANCED, **policy}, (LB,)), [endpoint_slice(*ONE_EACH)], NODE1, on)
    here, both_ends = (f"{HERE}:8080",), HERE_AND_THERE
    for source in (POD, NODE, OUTSIDE):
        # Where pods are unknown everybody is taken for one; IPVS still knows what the node itself sends.
        told_apart = source != POD if known else mode == "ipvs" and source == NODE
        inside = here if "internalTrafficPolicy" in policy else both_ends
        assert rules.trace(to_vip(source)) == sent(*inside, masquerade=everybody or told_apart), source
        for packet in (to_node_port(source), Packet(source, LB, 80)):
            if "externalTrafficPolicy" not in policy:
                assert rules.trace(packet) == sent(*both_ends, masquerade=True), packet
            else:
                short_cut = mode != "ipvs" and (source == NODE or (source == POD and known))
                ends = both_ends if short_cut else here
                assert rules.trace(packet) == sent(*ends, masquerade=source == NODE), packet


@both
def test_node_ports_answer_at_the_addresses_that_are_asked_for(mode: str) -> None:
    loopback = "127.0.0.1" if _FAMILY == "IPv4" else "::1"
    answered = sent(*HERE_AND_THERE, masquerade=True)
    own, others = ("10.20.0.0/24", "fd00:20::/64"), ("192.0.2.0/24", "fd00:99::/64")
    for cidrs, at_node in (((), answered), (own, answered), (others, UNTOUCHED)):
        for localhost in (True, False):
            on = replace(BASE, node_port_cidrs=cidrs, localhost_node_ports=localhost)
            rules = rules_for(mode, service(NODE_PORT), [endpoint_slice(*ONE_EACH)], NODE1, on)
            assert rules.trace(to_node_port(OUTSIDE)) == at_node, cidrs
            taken = mode == "iptables" and localhost and not cidrs and _FAMILY == "IPv4"
            assert rules.trace(Packet(loopback, loopback, 30080)) == (answered if taken else UNTOUCHED), on


@both
def test_refused_node_ports_are_those_that_would_answer(mode: str) -> None:
    elsewhere = replace(BASE, node_port_cidrs=("192.0.2.0/24", "fd00:99::/64"))
    for spec in (NODE_PORT, {**NODE_PORT, "externalTrafficPolicy": "Local"}):
        for endpoints in ((), (endpoint(THERE),)):
            rules = rules_for(mode, service(spec), [endpoint_slice(*endpoints)], NODE1, elsewhere)
            assert rules.trace(to_node_port(OUTSIDE)) == UNTOUCHED, "somebody else's port of this address"


@pytest.mark.parametrize("localhost", [True, False])
def test_iptables_refuses_node_ports_on_loopback_only_where_they_would_answer_there(localhost: bool) -> None:
    rules = rules_for("iptables", service(NODE_PORT), [], NODE1, replace(BASE, localhost_node_ports=localhost))
    assert isinstance(rules, Rules)
    # What a host says to itself is an input of it, too; a trace tells of its way out.
    (refusal,) = (str(rule) for rule in rules.iptables["filter"]["KUBE-EXTERNAL-SERVICES"])
    assert ("127.0.0.0/8" in refusal or "::1/128" in refusal) is (_FAMILY == "IPv6" or not localhost), refusal


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_a_health_check_node_port_is_let_in_while_it_is_wanted(mode: str) -> None:
    spec = {**BALANCED, "externalTrafficPolicy": "Local", "healthCheckNodePort": 30999}
    rules = build(mode, spec, *ONE_EACH)
    if isinstance(rules, IpvsRules):
        accepted = [member for members in rules.kernel.sets.values() for member in members if "30999" in str(member)]
    else:
        accepted = [rule for rule in rules.iptables["filter"]["KUBE-NODEPORTS"] if "--dport 30999" in str(rule)]
    assert len(accepted) == 1
    rules.change(dict.fromkeys([PortKey("default", "svc", "p", "TCP", Family[_FAMILY.upper()])]))
    assert "30999" not in str(rules.state())


def test_invalid_packets_pass_in_iptables_mode_where_the_kernel_is_told_to_be_liberal() -> None:
    for liberal in (False, True):
        on = replace(BASE, tcp_be_liberal=liberal)
        rules = rules_for("iptables", service(), [endpoint_slice(*ONE_EACH)], NODE1, on)
        assert isinstance(rules, Rules)
        assert ("INVALID" in str(rules.iptables["filter"]["KUBE-FORWARD"])) is not liberal


@both
def test_addresses_with_leading_zeros_are_read_as_decimal(mode: str) -> None:
    if _FAMILY == "IPv6":
        return
    odd = service({**BALANCED, "clusterIP": "10.96.000.100", "clusterIPs": ["10.96.000.100"]}, ("203.0.113.007",))
    odd["spec"] |= {"externalIPs": ["192.0.02.010"], "loadBalancerSourceRanges": ["198.051.100.000/024"]}
    rules = rules_for(mode, odd, [endpoint_slice(endpoint("10.244.01.005", "node1"))], NODE1)
    assert rules.trace(to_vip(POD)) == sent(f"{HERE}:8080")
    for address in (LB, EXTERNAL):
        assert rules.trace(Packet(OUTSIDE, address, 80)) == sent(f"{HERE}:8080", masquerade=True)
    assert rules.trace(Packet("192.0.2.77", LB, 80)) == DROPPED


@both
def test_session_affinity_prefers_the_endpoint_a_client_is_bound_to(mode: str) -> None:
    spec = {**NODE_PORT, "sessionAffinity": "ClientIP"}
    rules = build(mode, spec, *ONE_EACH)
    assert rules.trace(to_vip(POD)) == sent(*HERE_AND_THERE)
    if isinstance(rules, IpvsRules):
        # The kernel's own business, told to each virtual server.
        assert {one.schedule.persistence for one in rules.kernel.services.values()} == {10800}
        return
    marks = rules.nft.elements if mode == "nftables" else rules.iptables["nat"]
    prefix = "affinity-" if mode == "nftables" else "KUBE-SEP-"
    wanted = sorted(name for name in marks if name.startswith(prefix))
    assert len(wanted) == 2
    ends = [rules.trace(Packet(POD, VIP, 80, bound=frozenset([mark]))) for mark in wanted]
    assert sorted(map(sorted, ends)) == sorted(map(sorted, (sent(f"{HERE}:8080"), sent(f"{THERE}:8080"))))


@both
def test_terminating_endpoints_serve_only_as_a_fallback(mode: str) -> None:
    leaving = endpoint(THERE, ready=False, serving=True, terminating=True)
    gone = endpoint(HERE2, ready=False, serving=False, terminating=True)
    assert build(mode, {}, endpoint(HERE), leaving).trace(to_vip(POD)) == sent(f"{HERE}:8080")
    assert build(mode, {}, leaving, gone).trace(to_vip(POD)) == sent(f"{THERE}:8080")
    assert build(mode, {}, gone).trace(to_vip(POD)) == REJECTED


@both
def test_terminating_endpoints_of_policy_local_serve_here_whoever_is_ready_elsewhere(mode: str) -> None:
    leaving = endpoint(HERE, "node1", ready=False, serving=True, terminating=True)
    spec = {**NODE_PORT, "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}
    gone = endpoint(HERE, "node1", ready=False, serving=False, terminating=True)
    for source in (POD, OUTSIDE):
        rules = build(mode, spec, leaving, endpoint(THERE))
        assert rules.trace(to_vip(source)) == sent(f"{HERE}:8080", masquerade=source == OUTSIDE)
        rules = build(mode, spec, leaving, endpoint(HERE2, "node1"), endpoint(THERE))
        assert rules.trace(to_vip(source)) == sent(f"{HERE2}:8080", masquerade=source == OUTSIDE)
        assert build(mode, spec, gone, endpoint(THERE)).trace(to_vip(source)) == DROPPED
    assert build(mode, spec, leaving, endpoint(THERE)).trace(to_node_port(OUTSIDE)) == sent(f"{HERE}:8080")
    assert build(mode, spec, gone, endpoint(THERE)).trace(to_node_port(OUTSIDE)) == DROPPED


@both
def test_unused_ports_of_a_cluster_ip(mode: str) -> None:
    rules = build(mode, {}, *ONE_EACH)
    unused = UNTOUCHED if mode == "iptables" else REJECTED
    assert rules.trace(to_vip(POD, 81)) == unused
    nobody = Packet(POD, "10.96.7.7", 80)
    assert rules.trace(nobody) == (DROPPED if mode == "nftables" else UNTOUCHED)


def test_of_what_is_under_way_or_not_tracked_nothing_else_is_asked() -> None:
    """A node's packets each pass these chains, nearly all of them under way, and encapsulated ones untracked."""
    ground = replace(BASE, local_vips=("10.96.0.10",))
    checked = [rules for _, declared, rules in base.hooks(ground) if "priority 0;" in declared]
    assert len(checked) == 3
    assert {rules[0] for rules in checked} == {"ct state established,untracked accept"}


@both
def test_headless_and_external_name_services_write_nothing(mode: str) -> None:
    headless = service({"clusterIP": "None", "clusterIPs": ["None"]})
    assert rules_for(mode, headless, [endpoint_slice(*ONE_EACH)], NODE1).trace(to_vip(POD)) in (DROPPED, UNTOUCHED)
    named = service({"type": "ExternalName", "externalName": "x.example", "clusterIP": "", "clusterIPs": []})
    assert rules_for(mode, named, [], NODE1).trace(to_vip(POD)) in (DROPPED, UNTOUCHED)


@both
def test_a_host_that_is_no_node(mode: str) -> None:
    rules = rules_for(mode, service(), [endpoint_slice(*ONE_EACH)], Place())
    assert rules.trace(to_vip(NODE)) == sent(*HERE_AND_THERE, masquerade=True)


@both
def test_a_host_that_is_no_node_lets_a_node_judge_external_policy_local(mode: str) -> None:
    local = service({**BALANCED, "externalTrafficPolicy": "Local"}, (LB,))
    rules = rules_for(mode, local, [endpoint_slice(*ONE_EACH)], Place())
    assert rules.trace(Packet(OUTSIDE, LB, 80)) == UNTOUCHED
    assert rules.trace(Packet(NODE, LB, 80)) == sent(*HERE_AND_THERE, masquerade=True)
    nobody = rules_for(mode, local, [endpoint_slice()], Place())
    assert nobody.trace(Packet(OUTSIDE, LB, 80)) == REJECTED


@both
@pytest.mark.parametrize(("known_by", "pod", "other"), [("cni0", "cni0", "eth0"), ("veth+", "veth7", "eth0")])
def test_pods_may_be_known_by_their_interface(mode: str, known_by: str, pod: str, other: str) -> None:
    by_interface = replace(BASE, cluster_cidrs=(), pod_interface=known_by)
    spec = {**BALANCED, "externalTrafficPolicy": "Local"}
    rules = rules_for(mode, service(spec, (LB,)), [endpoint_slice(endpoint(THERE))], NODE1, by_interface)
    inside, outside = (replace(to_vip(OUTSIDE), interface=name) for name in (pod, other))
    there = f"{THERE}:8080"
    assert rules.trace(inside) == sent(there), "the address does not matter"
    assert rules.trace(outside) == rules.trace(to_vip(NODE)) == sent(there, masquerade=True)
    assert rules.trace(replace(inside, dst=LB)) == sent(there)
    assert rules.trace(replace(outside, dst=LB)) == DROPPED


@both
def test_zone_hints(mode: str) -> None:
    near = {**endpoint(HERE), "hints": {"forZones": [{"name": "z1"}]}}
    far = {**endpoint(THERE), "hints": {"forZones": [{"name": "z2"}]}}
    assert build(mode, {}, near, far).trace(to_vip(POD)) == sent(f"{HERE}:8080")
    assert build(mode, {}, near, endpoint(THERE)).trace(to_vip(POD)) == sent(*HERE_AND_THERE)
    assert build(mode, {}, far).trace(to_vip(POD)) == sent(f"{THERE}:8080")

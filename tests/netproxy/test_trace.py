"""`wherry trace`: the way a connection takes, told from the API's objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netproxy.policy.model import cluster_dns
from netproxy.trace.model import Objects, Outcome, Proxy, Rules, Trace, TraceError
from netproxy.trace.plan import trace
from netproxy.trace.resolve import resolve, split_port
from tests.netproxy.policy.world import namespace, pod, policy
from tests.netproxy.simulated import endpoint, endpoint_slice, service

A, B, DB = "10.244.1.1", "10.244.2.2", "10.244.2.9"
OUTSIDE = "198.51.100.9"


def node(name: str, ip: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": ip}]}}


def objects(*policies: dict[str, Any], **spec: Any) -> Objects:
    ports = [{"name": "p", "port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30080}]
    return Objects(
        services=[
            service({"type": "NodePort", "ports": ports, **spec}),
            service({"clusterIP": "10.96.0.101", "clusterIPs": ["10.96.0.101"]}, name="none"),
        ],
        slices=[endpoint_slice(endpoint(A, "node1"), endpoint(B, "node2"))],
        pods=[pod("default", "a", A), pod("default", "b", B, "node2"), pod("data", "db", DB, "node2")],
        nodes=[node("node1", "10.20.0.11"), node("node2", "10.20.0.12")],
        namespaces=[namespace("default"), namespace("data")],
        policies=policies,
    )


RULES = Rules(cluster_cidrs=("10.244.0.0/16",), service_cidrs=("10.96.0.0/16",))


def asked(there: Objects, source: str, target: str, protocol: str = "TCP", rules: Rules = RULES) -> Trace:
    end, port = split_port(target)
    start, goal = resolve(source, there, "default"), resolve(end, there, "default")
    return trace(there, start, goal, int(port or 0), protocol, rules)


def outcomes(found: Trace) -> dict[str, str]:
    return {way.to: way.outcome.value for way in found.ways}


def test_a_service_leads_to_each_of_its_endpoints() -> None:
    found = asked(objects(), "data/db", "service/svc:80")
    assert outcomes(found) == {f"{A}:8080": "arrives", f"{B}:8080": "arrives"}
    assert "default/svc:p" in found.steps[0] and "one of 2 endpoints" in found.ways[0].why[0]


def test_policies_are_asked_of_each_endpoint() -> None:
    denied = policy("default", "deny", podSelector={"matchLabels": {"pod": "b"}})
    found = asked(objects(denied), "pod/data/db", "svc")
    assert outcomes(found) == {f"{A}:8080": "arrives", f"{B}:8080": "dropped"}
    assert "default/deny" in found.ways[1].why[-1]
    assert outcomes(asked(objects(denied), "node2", "pod/b:8080")) == {f"{B}:8080": "arrives"}
    assert outcomes(asked(objects(denied), "node1", "pod/b:8080")) == {f"{B}:8080": "dropped"}


@pytest.mark.parametrize(
    ("labels", "port", "protocol", "outcome"),
    [
        ({"k8s-app": "kube-dns"}, 53, "UDP", "arrives"),
        ({"k8s-app": "other"}, 53, "UDP", "dropped"),
        ({"k8s-app": "kube-dns"}, 54, "UDP", "dropped"),
    ],
)
def test_the_dns_that_nodes_answer_themselves(labels: dict[str, str], port: int, protocol: str, outcome: str) -> None:
    peer = {"namespaceSelector": {}, "podSelector": {"matchLabels": labels}}
    egress = [{"to": [peer], "ports": [{"port": 53, "protocol": "UDP"}]}]
    everything = policy("kube-system", "deny", policyTypes=["Ingress", "Egress"])
    there = objects(policy("default", policyTypes=["Egress"], egress=egress), everything)
    ports = [{"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53}]
    spec = {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": ports}
    slices = [*there.slices, endpoint_slice(endpoint("10.20.0.1", ""), name="dns-1", owner="kube-dns", ports=ports)]
    there = replace(
        there,
        dns=cluster_dns(("10.96.0.10",)),
        services=[*there.services, service(spec, name="kube-dns")],
        slices=slices,
    )
    there = replace(there, namespaces=[*there.namespaces, namespace("kube-system")])
    found = asked(there, "a", f"10.96.0.10:{port}", protocol)
    assert outcomes(found) == {f"10.96.0.10:{port}": outcome} and "DNS" in found.ways[0].title


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        ("a", "pod/near:80", {"10.244.1.9:80": "arrives"}),
        ("b", "pod/near:80", {"10.244.1.9:80": "dropped"}),
        (OUTSIDE, "pod/near:80", {"10.244.1.9:80": "dropped"}),
        ("near", "svc", {f"{A}:8080": "dropped", f"{B}:8080": "dropped"}),
    ],
)
def test_pods_that_share_a_bridge_below_all_rules(source: str, target: str, wanted: dict[str, str]) -> None:
    there = objects(policy("default", "deny"))
    there = replace(there, pods=[*there.pods, pod("default", "near", "10.244.1.9")])
    found = asked(there, source, target, rules=replace(RULES, below="not enforced between pods of one bridge"))
    assert outcomes(found) == wanted
    assert ("pods of one bridge" in found.ways[0].why[-1]) == ("arrives" in wanted.values())


@pytest.mark.parametrize(
    ("source", "target", "spec", "wanted"),
    [
        ("a", "service/none:80", {}, {"10.96.0.101:80": "refused"}),
        ("a", "10.96.0.100:81", {}, {"10.96.0.100:81": "refused"}),
        ("a", "10.96.7.7:80", {}, {"10.96.7.7:80": "dropped"}),
        ("a", f"{OUTSIDE}:80", {}, {f"{OUTSIDE}:80": "arrives"}),
        (OUTSIDE, "node/node1:30080", {}, {f"{A}:8080": "arrives", f"{B}:8080": "arrives"}),
        (OUTSIDE, "10.20.0.12:30080", {"externalTrafficPolicy": "Local"}, {f"{B}:8080": "arrives"}),
        ("a", "10.20.0.12:30080", {"externalTrafficPolicy": "Local"}, {f"{A}:8080": "arrives", f"{B}:8080": "arrives"}),
        # Another node is outside of it, as everybody is who is neither a pod nor that node.
        ("node1", "10.20.0.12:30080", {"externalTrafficPolicy": "Local"}, {f"{B}:8080": "arrives"}),
        (
            "node2",
            "10.20.0.12:30080",
            {"externalTrafficPolicy": "Local"},
            {f"{A}:8080": "arrives", f"{B}:8080": "arrives"},
        ),
        ("a", "svc", {"internalTrafficPolicy": "Local"}, {f"{A}:8080": "arrives"}),
        ("a", "b", {}, {f"{B}:80": "arrives"}),
    ],
)
def test_where_it_goes(source: str, target: str, spec: dict[str, Any], wanted: dict[str, str]) -> None:
    assert outcomes(asked(objects(**spec), source, target)) == wanted


def test_a_virtual_server_of_ipvs_has_no_short_cut() -> None:
    local = objects(externalTrafficPolicy="Local")
    rules = replace(RULES, proxies={"node2": Proxy("ipvs")})
    assert outcomes(asked(local, "a", "node2:30080", rules=rules)) == {f"{B}:8080": "arrives"}
    assert outcomes(asked(local, "a", "node1:30080", rules=rules)) == {f"{A}:8080": "arrives", f"{B}:8080": "arrives"}


def test_a_node_that_knows_pods_by_their_interface_knows_its_own() -> None:
    local = objects(externalTrafficPolicy="Local")
    rules = replace(RULES, proxies={"node1": Proxy(pod_interface="cni0")})
    both = {f"{A}:8080": "arrives", f"{B}:8080": "arrives"}
    assert outcomes(asked(local, "a", "10.20.0.11:30080", rules=rules)) == both
    assert outcomes(asked(local, "b", "10.20.0.11:30080")) == both
    assert outcomes(asked(local, "b", "10.20.0.11:30080", rules=rules)) == {f"{A}:8080": "arrives"}


def test_an_endpoints_node_judges_the_address_it_sees() -> None:
    """By a node port the packet comes from the node that masqueraded it, to pods of other nodes at least."""
    allow = policy("default", "a", podSelector={}, ingress=[{"from": [{"namespaceSelector": {}, "podSelector": {}}]}])
    found = asked(objects(allow), "data/db", "node1:30080")
    assert outcomes(found) == {f"{A}:8080": "arrives", f"{B}:8080": "dropped"}
    assert [way.masqueraded for way in found.ways] == [True, True]
    assert [way.chance for way in found.ways] == [0.5, 0.5]
    assert "comes from an address of node1" in found.ways[1].why[1]
    assert outcomes(asked(objects(allow), "data/db", "svc")) == {f"{A}:8080": "arrives", f"{B}:8080": "arrives"}


def test_without_an_endpoint_on_this_node_and_policy_local_it_is_lost() -> None:
    there = objects(internalTrafficPolicy="Local")
    alone = Objects(**{**vars(there), "slices": [endpoint_slice(endpoint(B, "node2"))]})
    (way,) = asked(alone, "a", "svc").ways
    assert way.outcome is Outcome.DROPPED and "Local" in way.why[0]


def test_what_is_unknown_is_told_with_what_to_write() -> None:
    with pytest.raises(TraceError, match="write pod/NAME"):
        asked(objects(), "nobody", "svc")
    with pytest.raises(TraceError, match="which port"):
        asked(objects(), "a", OUTSIDE)
    with pytest.raises(TraceError, match="has no address yet"):
        late = Objects(pods=[pod("default", "late", "")])
        resolve("pod/late", late, "default")


def test_an_end_and_its_port() -> None:
    assert split_port("svc/web:80") == ("svc/web", "80")
    assert split_port("fd00::1") == ("fd00::1", "")
    assert split_port("[fd00::1]:80") == ("fd00::1", "80")
    assert split_port("10.0.0.1") == ("10.0.0.1", "")

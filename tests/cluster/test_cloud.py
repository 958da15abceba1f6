"""Services of type LoadBalancer in a lab: an address that answers from everywhere, also while its announcer dies."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.kit import netns
from lab import network, state
from lab.cloud.announcer import Announcer
from lab.cloud.balancers import pool_of
from lab.paths import Paths
from lab.spec import Spec
from tests.cluster.lab import Lab, fetch, web
from tests.lab.outsider import outsider
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

BRIDGED = "net.bridge.bridge-nf-call-iptables"


def described(lab: Lab) -> Spec:
    found = state.load(Paths(lab.name))
    assert found is not None
    return found


def address_of(lab: Lab, name: str) -> str:
    def given() -> Any:
        return lab.get("service", name)["status"]["loadBalancer"].get("ingress")

    (ingress,) = eventually(given, what="the Service gets an address")
    assert ingress["ipMode"] == "VIP"
    return str(ingress["ip"])


def announcer_of(lab: Lab, address: str) -> str:
    """The node that answers for the address; "" for none, and never more than one."""
    spec = described(lab)
    there = Announcer(lab.name).there([node.name for node in spec.nodes], pool_of(spec))
    found = [node for node, held in there.items() if address in held]
    assert len(found) < 2, found
    return "".join(found)


def balanced(name: str, replicas: int, hosts: list[str] | None = None, **spec: Any) -> list[dict[str, Any]]:
    """A web server behind a load balancer, on these nodes."""
    wanted = {"key": "kubernetes.io/hostname", "operator": "In", "values": hosts}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}} if hosts else {}
    deployment, service = web(name, replicas, affinity=affinity)
    service["spec"] |= {"type": "LoadBalancer", **spec}
    return [deployment, service]


def test_a_load_balancer_keeps_answering_while_its_announcer_dies(clean: Lab) -> None:
    _, service = balanced("whtlb", 2)
    clean.apply(service)
    address = address_of(clean, "whtlb")
    assert address in clean.kubectl("get", "service", "whtlb", "--no-headers")
    first = eventually(lambda: announcer_of(clean, address), what="a node announces it")
    others = [node.name for node in described(clean).nodes if node.name != first]
    clean.apply(balanced("whtlb", 2, others)[0])
    clean.kubectl("rollout", "status", "deployment/whtlb", "--timeout=120s")
    pods = [pod["metadata"]["name"] for pod in clean.running("app=whtlb")]
    assert eventually(lambda: fetch(address), what="it answers the host") in pods
    for node in (first, *others):
        assert clean.fetch_on_node(node, address) in pods
    assert clean.fetch_in_pod(pods[0], address) in pods
    spec = described(clean)
    # Bridged packets pass the host's rules on some machines: here each goes where the neighbours' answers say.
    before = netns.read_sysctl(None, BRIDGED)
    netns.write_sysctl(None, BRIDGED, 0)
    try:
        with outsider(spec) as client:
            assert eventually(lambda: client.fetch(address), what="it answers a neighbour") in pods
            network.set_link(spec, spec.node(first), up=False)
            assert eventually(lambda: client.fetch(address), what="another node took over") in pods
            network.set_link(spec, spec.node(first), up=True)
            assert announcer_of(clean, address) in others
            assert client.fetch(address) in pods
    finally:
        netns.write_sysctl(None, BRIDGED, before)
        network.set_link(spec, spec.node(first), up=True)
    clean.kubectl("delete", "service", "whtlb", "--timeout=120s")
    assert announcer_of(clean, address) == ""


def test_policy_local_is_announced_where_a_pod_is_and_ranges_keep_others_out(clean: Lab) -> None:
    clean.apply(*balanced("whtlocal", 1, ["node2"], externalTrafficPolicy="Local"))
    address = address_of(clean, "whtlocal")
    clean.kubectl("rollout", "status", "deployment/whtlocal", "--timeout=120s")
    eventually(lambda: announcer_of(clean, address) == "node2", what="the pod's node announces it")
    (pod,) = clean.running("app=whtlocal")
    assert fetch(address) == clean.fetch_on_node("node1", address) == pod["metadata"]["name"]
    spec = described(clean)
    with outsider(spec) as client:
        assert eventually(lambda: client.fetch(address), what="it answers a neighbour") == pod["metadata"]["name"]
        elsewhere = {"spec": {"loadBalancerSourceRanges": ["192.0.2.0/24"]}}
        clean.kubectl("patch", "service", "whtlocal", "-p", str(elsewhere).replace("'", '"'))
        eventually(lambda: not client.fetch(address), what="the range keeps the neighbour out")


def test_a_lab_s_nodes_are_told_of_their_machines(lab: Lab) -> None:
    for node in lab.get("nodes")["items"]:
        assert node["spec"]["providerID"] == f"lab://{lab.name}/{node['metadata']['name']}"
        assert node["metadata"]["labels"]["topology.kubernetes.io/region"] == lab.name
        assert not [t for t in node["spec"].get("taints") or () if "cloudprovider" in t["key"]]

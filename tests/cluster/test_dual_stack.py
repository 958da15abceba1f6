"""A lab of both IP families by vxlan: upstream's dual-stack cases, and a host port in both."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.cluster.conftest import kubectl_path
from tests.cluster.lab import Lab, fetch, ready, wherry
from tests.waiting import eventually

pytestmark = pytest.mark.cluster
NAME = "whtdual"
NODES = ("node1", "node2")
PODS = ("10.148.0.0/16", "fd48::/56")
SERVICES = ("10.149.0.0/16", "fd49::/112")
HOST_PORT = 18423
NODE_PORT = 31423


@pytest.fixture(scope="module")
def dual() -> Iterator[Lab]:
    ranges = ("--pod-cidr", ",".join(PODS), "--service-cidr", ",".join(SERVICES))
    wherry("down", "--name", NAME, check=False)
    try:
        wherry("up", "--name", NAME, "--nodes", str(len(NODES)), "--pod-network", "vxlan", *ranges)
        yield Lab(NAME, kubectl_path())
    finally:
        wherry("down", "--name", NAME)


def server(node: str) -> dict[str, Any]:
    http = f"mkdir -p /www && echo {node} > /www/index.html && exec httpd -f -p 8080 -h /www"
    port = {"containerPort": 8080, "hostPort": HOST_PORT}
    container = {"name": "c", "image": "wherry.local/busybox:1", "command": ["sh", "-c", http], "ports": [port]}
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}
    metadata = {"name": f"on-{node}", "labels": {"app": "web", "on": node}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def service(name: str, **spec: Any) -> dict[str, Any]:
    given = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": given}


SHAPES: dict[str, tuple[dict[str, Any], list[int]]] = {
    "unsaid": ({}, [4]),
    "four": ({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}, [4]),
    "six": ({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}, [6]),
    "four-six": ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]}, [4, 6]),
    "six-four": ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}, [6, 4]),
}


def within(address: str, ranges: tuple[str, ...]) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(text) for text in ranges)


def versions(addresses: list[str]) -> list[int]:
    return [ipaddress.ip_address(address).version for address in addresses]


def url_host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def test_nodes_pods_and_services_have_and_answer_at_addresses_of_both_families(dual: Lab) -> None:
    dual.apply(*map(server, NODES), *(service(name, **spec) for name, (spec, _) in SHAPES.items()))
    eventually(lambda: all(map(ready, dual.get("pods")["items"])), 60, "all are ready")
    internal = {node: node_addresses(dual, node) for node in NODES}
    assert {node: versions(found) for node, found in internal.items()} == {node: [4, 6] for node in NODES}
    pods = {node: [ip["ip"] for ip in dual.get("pod", f"on-{node}")["status"]["podIPs"]] for node in NODES}
    for found in pods.values():
        assert versions(found) == [4, 6] and all(within(address, PODS) for address in found)
    for node in NODES:
        for other in NODES:
            for address in pods[other]:
                assert dual.fetch_in_pod(f"on-{node}", url_host(address), 8080) == other
                assert dual.fetch_on_node(node, url_host(address), 8080) == other
            for address in internal[other]:
                assert dual.fetch_on_node(node, url_host(address), HOST_PORT) == other
                assert dual.fetch_in_pod(f"on-{node}", url_host(address), HOST_PORT) == other
    for address in internal["node1"]:
        assert fetch(address, HOST_PORT) == "node1"
    for name, (_, wanted) in SHAPES.items():
        found = dual.get("service", name)["spec"]["clusterIPs"]
        assert versions(found) == wanted and all(within(address, SERVICES) for address in found)
    far = service("far", selector={"on": "node2"}, ipFamilyPolicy="RequireDualStack")
    dual.apply(far)
    for address in dual.get("service", "far")["spec"]["clusterIPs"]:
        # From the node itself, through the tunnel: only an address that the other node answers to brings it back.
        ask = partial(dual.fetch_on_node, "node1", url_host(address))
        assert eventually(ask, 60, f"a node reaches {address}") == "node2"
    _from_a_pod_through_its_own_node(dual, internal["node1"])
    for name in SHAPES:
        found = dual.get("service", name)["spec"]["clusterIPs"]
        for address in found:
            # Each node's proxy, and the host's, hears of the endpoints by itself.
            for ask in (
                partial(fetch, address),
                partial(dual.fetch_in_pod, "on-node1", url_host(address)),
                partial(dual.fetch_on_node, "node2", url_host(address)),
            ):
                assert eventually(ask, 30, f"{name} answers at {address}") in NODES


def _from_a_pod_through_its_own_node(lab: Lab, addresses: list[str]) -> None:
    """A node port whose endpoint is in the other node's own network: masqueraded packets, and their answers."""
    host = server("node2")
    host["metadata"] = {"name": "host", "labels": {"app": "host"}}
    container = host["spec"]["containers"][0]
    del container["ports"]
    container["command"][-1] = container["command"][-1].replace("8080", str(NODE_PORT + 1))
    host["spec"]["hostNetwork"] = True
    ports = [{"port": 80, "targetPort": NODE_PORT + 1, "nodePort": NODE_PORT}]
    spec = {"type": "NodePort", "selector": {"app": "host"}, "ports": ports, "ipFamilyPolicy": "RequireDualStack"}
    lab.apply(host, service("host", **spec))
    for address in addresses:
        ask = partial(lab.fetch_in_pod, "on-node1", url_host(address), NODE_PORT)
        assert eventually(ask, 30, f"{address} leads to node2") == "node2"


def node_addresses(lab: Lab, node: str) -> list[str]:
    told = lab.get("node", node)["status"]["addresses"]
    return [each["address"] for each in told if each["type"] == "InternalIP"]

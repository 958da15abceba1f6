"""A Deployment behind a Service: spread over the nodes, reached from everywhere, scaled and rolled unharmed."""

from __future__ import annotations

import json
import time
from functools import partial

import pytest

from tests.cluster.lab import EXAMPLES, Lab, fetch, traffic, web
from tests.waiting import eventually

pytestmark = pytest.mark.cluster


def service_ip(lab: Lab, name: str) -> str:
    return str(lab.get("service", name)["spec"]["clusterIP"])


def test_the_readme_example_spreads_and_answers_everywhere(clean: Lab) -> None:
    lab = clean
    lab.kubectl("apply", "-f", str(EXAMPLES / "web.yaml"))
    lab.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    pods = lab.running("app=web")
    assert len(pods) == 6
    per_node = [sum(pod["spec"]["nodeName"] == f"node{n}" for pod in pods) for n in (1, 2, 3)]
    assert per_node == [2, 2, 2]
    names = {pod["metadata"]["name"] for pod in pods}
    vip = service_ip(lab, "web")
    eventually(lambda: fetch(vip) in names, what="the VIP answers on the host")
    for node in ("node1", "node2", "node3"):
        # Each node's proxy hears of the endpoints by itself.
        assert eventually(partial(lab.fetch_on_node, node, vip), what=f"the VIP answers on {node}") in names
    for pod in pods:
        assert lab.fetch_in_pod(pod["metadata"]["name"], vip) in names
    # Each pod is one of the VIP's six answers to one of its own calls: hairpin traffic works.
    pod = pods[0]["metadata"]["name"]
    script = f"for i in $(seq 100); do timeout 3 wget -q -O - http://{vip}/ || echo failed; done"
    answers = lab.kubectl("exec", pod, "--", "sh", "-c", script).split()
    assert len(answers) == 100
    assert set(answers) == names


def test_a_node_port_answers_on_every_node_from_host_and_node(clean: Lab) -> None:
    lab = clean
    deployment, service = web("ported", 2)
    service["spec"]["type"] = "NodePort"
    lab.apply(deployment, service)
    lab.kubectl("rollout", "status", "deployment/ported", "--timeout=120s")
    names = {pod["metadata"]["name"] for pod in lab.running("app=ported")}
    port = int(lab.get("service", "ported")["spec"]["ports"][0]["nodePort"])
    assert 30000 <= port <= 32767
    addresses = [node["address"] for node in lab.status()["nodes"]]
    for address in addresses:
        assert eventually(partial(fetch, address, port), what=f"node port on {address} from the host") in names
        from_node1 = partial(lab.fetch_on_node, "node1", address, port)
        assert eventually(from_node1, what=f"node port on {address} from node1") in names


def test_scaling_and_rolling_lose_no_request(clean: Lab) -> None:
    lab = clean
    lab.apply(*web("rolled", 3))
    lab.kubectl("rollout", "status", "deployment/rolled", "--timeout=120s")
    vip = service_ip(lab, "rolled")
    eventually(lambda: fetch(vip), what="the VIP answers")
    with traffic(vip) as seen:
        lab.kubectl("scale", "deployment/rolled", "--replicas=6")
        lab.kubectl("rollout", "status", "deployment/rolled", "--timeout=120s")
        lab.kubectl("rollout", "restart", "deployment/rolled")
        lab.kubectl("rollout", "status", "deployment/rolled", "--timeout=120s")
        lab.kubectl("scale", "deployment/rolled", "--replicas=2")
        eventually(lambda: len(lab.get("pods", label="app=rolled")["items"]) == 2, what="two pods are left")
        lab.kubectl("rollout", "undo", "deployment/rolled")
        lab.kubectl("rollout", "status", "deployment/rolled", "--timeout=120s")
        time.sleep(1)
    assert seen.answers > 100
    assert not seen.errors, seen.errors[:5]


def test_a_running_node_changes_its_proxy_mode_and_loses_no_request(clean: Lab) -> None:
    lab = clean
    deployment, service = web("steady", 2)
    service["spec"]["type"] = "NodePort"
    lab.apply(deployment, service)
    lab.kubectl("rollout", "status", "deployment/steady", "--timeout=120s")
    port = int(lab.get("service", "steady")["spec"]["ports"][0]["nodePort"])
    address = next(node["address"] for node in lab.status()["nodes"] if node["name"] == "node2")
    eventually(lambda: fetch(address, port), what="the node port answers")
    told = lab.wherry("trace", address, "service/steady:80", "-o", "json").stdout
    assert sorted(way["outcome"] for way in json.loads(told)["ways"]) == ["arrives", "arrives"]

    def only(wanted: str) -> bool:
        text = lab.on_node("node2", "nft", "list", "ruleset")
        marks = {"iptables": "KUBE-SVC", "nftables": "table ip wherry-proxy {"}
        return {mode for mode, mark in marks.items() if mark in text} == {wanted}

    with traffic(address, port) as seen:
        try:
            for mode, chosen in (("iptables", "iptables"), ("auto", "nftables")):
                lab.wherry("proxy-mode", mode, "--node", "node2")
                eventually(partial(only, chosen), what=f"the rules of {chosen} alone stand")
        finally:
            lab.wherry("proxy-mode", "nftables")
    assert seen.answers > 50
    assert not seen.errors, seen.errors[:5]


def test_the_kubernetes_service_comes_back_when_deleted(lab: Lab) -> None:
    before = service_ip(lab, "kubernetes")
    lab.kubectl("delete", "service", "kubernetes")
    eventually(lambda: service_ip(lab, "kubernetes") == before, what="the Service is back under its address")
    eventually(lambda: lab.get("endpointslice", "kubernetes")["endpoints"], what="it has its endpoint again")


def test_a_service_without_endpoints_refuses_at_once(clean: Lab) -> None:
    lab = clean
    _, service = web("nobody", 0)
    lab.apply(service)
    vip = service_ip(lab, "nobody")

    def refused() -> bool:
        started = time.monotonic()
        try:
            fetch(vip)
        except ConnectionRefusedError:
            return time.monotonic() - started < 1
        return False

    eventually(refused, what="the connection is refused at once")

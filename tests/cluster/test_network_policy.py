"""NetworkPolicies on real nodes: from the API to packets, for pods that run and for those that just start."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest

from tests.cluster.lab import Lab, web
from tests.waiting import eventually

pytestmark = pytest.mark.cluster
NEVER_THROUGH = (
    "while true; do timeout 1 wget -q -O- http://{0}:8080/ >/dev/null 2>&1 && echo THROUGH; echo TRIED; done"
)
FIRST_TRY = "timeout 20 wget -q -O- http://{0}:8080/ && echo THROUGH; sleep 3600"


def policy(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, **spec},
    }


def starting(name: str, node: str, script: str, **labels: str) -> dict[str, Any]:
    """A pod that runs a script from its first moment on."""
    container = {
        "name": "c",
        "image": "wherry.local/busybox:1",
        "command": ["sh", "-c", script],
    }
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def test_policies_from_the_api_to_packets(clean: Lab) -> None:
    lab = clean
    lab.apply(*web("guarded", 1, nodeName="node1"), *web("near", 1, nodeName="node1"), *web("far", 1, nodeName="node2"))
    for name in ("guarded", "near", "far"):
        lab.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s")
    pods = {name: lab.running(f"app={name}")[0] for name in ("guarded", "near", "far")}
    ip = pods["guarded"]["status"]["podIP"]
    vip = lab.get("service", "guarded")["spec"]["clusterIP"]

    def gets_through(name: str, address: str = ip, port: int = 8080) -> bool:
        try:
            return bool(lab.fetch_in_pod(pods[name]["metadata"]["name"], address, port))
        except AssertionError:
            return False

    assert gets_through("near") and gets_through("far")
    lab.apply(policy("deny"))
    began = time.monotonic()
    eventually(lambda: not gets_through("near"), what="a pod beside it is stopped")
    print(f"in force for a client within {time.monotonic() - began:.2f} s, of which a refused try takes 3")
    assert not gets_through("far", vip, 80)
    assert lab.running("app=guarded"), "its node may still ask whether it is ready"
    assert lab.fetch_on_node("node1", ip, 8080)
    allow = policy("allow", podSelector={"matchLabels": {"app": "guarded"}})
    allow["spec"]["ingress"] = [
        {"from": [{"podSelector": {"matchLabels": {"app": "far"}}}], "ports": [{"port": "http"}]}
    ]
    lab.apply(allow)
    eventually(lambda: gets_through("far", vip, 80), what="the pod that is allowed gets through, by the Service")
    assert not gets_through("near", vip, 80)
    lab.kubectl("delete", "networkpolicies", "--all")
    eventually(lambda: gets_through("near"), what="without policies everybody gets through")


def test_a_pods_first_packet_finds_its_policies_and_waits_for_nothing(clean: Lab) -> None:
    lab = clean
    lab.apply(*web("served", 1, nodeName="node1"))
    lab.kubectl("rollout", "status", "deployment/served", "--timeout=120s")
    address = lab.running("app=served")[0]["status"]["podIP"]
    lab.apply(policy("locked", podSelector={"matchLabels": {"role": "locked"}}, policyTypes=["Egress"]))
    nodes = ("node1", "node2", "node3")
    locked = [f"locked-{node}" for node in nodes]
    free = [f"free-{node}" for node in nodes]
    lab.apply(
        *(starting(f"locked-{node}", node, NEVER_THROUGH.format(address), role="locked") for node in nodes),
        *(starting(f"free-{node}", node, FIRST_TRY.format(address), role="free") for node in nodes),
    )
    for name in free:
        eventually(partial(_says, lab, name, "THROUGH"), what=f"{name} gets through")
    for name in locked:
        eventually(partial(_says, lab, name, "TRIED"), what=f"{name} has tried")
        assert not _says(lab, name, "THROUGH"), name


def _says(lab: Lab, pod: str, word: str) -> bool:
    return word in lab.kubectl("logs", pod)

"""Pods find Services by name, with the resolver that their node gave them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.cluster.lab import Lab, web
from tests.waiting import eventually

pytestmark = pytest.mark.cluster


def _look(lab: Lab, pod: str, name: str) -> str:
    return str(lab.kubectl("exec", pod, "--", "nslookup", name, check=False))


def test_a_pod_finds_services_by_name(clean: Lab) -> None:
    lab = clean
    deployment, service = web("named", 2)
    headless = {**service, "metadata": {"name": "named-pods"}, "spec": {**service["spec"], "clusterIP": "None"}}
    outside = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "outside"},
        "spec": {"type": "ExternalName", "externalName": "www.example.com"},
    }
    lab.apply(deployment, service, headless, outside)
    lab.kubectl("rollout", "status", "deployment/named", "--timeout=120s")
    pods = lab.running("app=named")
    pod = pods[0]["metadata"]["name"]
    vip = lab.get("service", "named")["spec"]["clusterIP"]
    dns = lab.kubectl("get", "service", "kube-dns", "-n", "kube-system", "-o", "jsonpath={.spec.clusterIP}")
    resolver = lab.kubectl("exec", pod, "--", "cat", "/etc/resolv.conf")
    assert f"nameserver {dns}" in resolver and "default.svc.cluster.local svc.cluster.local cluster.local" in resolver
    names = {each["metadata"]["name"] for each in pods}
    by_name = partial(lab.fetch_in_pod, pod, "named")
    assert eventually(by_name, what="the Service answers by its short name") in names
    assert vip in _look(lab, pod, "named.default.svc.cluster.local")
    kubernetes = lab.get("service", "kubernetes")["spec"]["clusterIP"]
    assert kubernetes in _look(lab, pod, "kubernetes.default.svc.cluster.local")
    told = _look(lab, pod, "named-pods.default.svc.cluster.local")
    assert all(each["status"]["podIP"] in told for each in pods)
    # Where it leads nobody may know here; that it leads there is the cluster's own knowledge.
    alias = lab.kubectl("exec", pod, "--", "nslookup", "-type=cname", "outside.default.svc.cluster.local", check=False)
    assert "www.example.com" in alias
    assert "NXDOMAIN" in _look(lab, pod, "nothing.default.svc.cluster.local")
    assert "named.default.svc.cluster.local" in _look(lab, pod, vip)
    events = lab.kubectl("get", "events", "-A", "-o", "jsonpath={.items[*].reason}")
    assert "MissingClusterDNS" not in events


def test_a_pod_has_the_name_and_the_resolver_that_it_asks_for(clean: Lab) -> None:
    lab = clean
    deployment, service = web("named", 1)
    containers = deployment["spec"]["template"]["spec"]["containers"]

    def pod(name: str, **spec: Any) -> dict[str, Any]:
        meta = {"name": name, "labels": {"app": name}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers, **spec}}

    spec = {**service["spec"], "clusterIP": "None", "selector": {"app": "hosted"}}
    headless = {**service, "metadata": {"name": "zone"}, "spec": spec}
    own = {
        "nameservers": ["203.0.113.53"],
        "searches": ["resolv.example.com"],
        "options": [{"name": "ndots", "value": "2"}],
    }
    hosted = pod("hosted", hostname="web-1", subdomain="zone")
    waiting = [{"name": "c", "image": "wherry.local/busybox:1", "command": ["sleep", "600"]}]
    of_node = pod("of-node", hostNetwork=True, nodeName="node2", terminationGracePeriodSeconds=0)
    of_node["spec"]["containers"] = waiting
    lab.apply(headless, hosted, pod("odd", dnsPolicy="None", dnsConfig=own), of_node)
    lab.kubectl("wait", "--for=condition=Ready", "pod/hosted", "pod/odd", "pod/of-node", "--timeout=120s")
    ip = lab.running("app=hosted")[0]["status"]["podIP"]
    whole = "web-1.zone.default.svc.cluster.local"
    assert lab.kubectl("exec", "hosted", "--", "hostname").strip() == "web-1"
    assert lab.kubectl("exec", "hosted", "--", "hostname", "-f").strip() == whole
    words = [line.split() for line in lab.kubectl("exec", "hosted", "--", "cat", "/etc/hosts").splitlines()]
    assert [ip, whole, "web-1"] in words and ["127.0.0.1", "localhost"] in words
    for name in (whole, "zone.default.svc.cluster.local"):
        eventually(lambda name=name: ip in _look(lab, "hosted", name), what=f"{name} is known")  # type: ignore[misc]
    resolver = lab.kubectl("exec", "odd", "--", "cat", "/etc/resolv.conf").splitlines()
    assert sorted(resolver) == ["nameserver 203.0.113.53", "options ndots:2", "search resolv.example.com"]
    asked = lab.kubectl("exec", "of-node", "--", "sh", "-c", "hostname; cat /etc/hostname; echo $HOSTNAME")
    assert asked.split() == ["node2"] * 3 and lab.on_node("node2", "hostname") == "node2"

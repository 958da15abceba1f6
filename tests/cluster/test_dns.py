"""Pods find Services by name, with the resolver that their node gave them."""

from __future__ import annotations

from functools import partial

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

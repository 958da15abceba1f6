"""What a person sees of loops and limits through kubectl: a certificate for a request, endpoints of one's own, a drain,
a full quota."""

from __future__ import annotations

import base64
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery import pki
from tests.cluster.lab import Lab, fetch, run, traffic, web
from tests.waiting import eventually

pytestmark = pytest.mark.cluster


def test_an_approved_request_leads_to_a_certificate_that_lets_its_owner_in(clean: Lab, tmp_path: Path) -> None:
    made = pki.signing_request("whtjane")
    spec: dict[str, Any] = {
        "request": base64.b64encode(made.csr_pem).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
    }
    spec |= {"usages": ["client auth"], "expirationSeconds": 600}
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    clean.apply({**kind, "metadata": {"name": "whtjane"}, "spec": spec})
    assert "Pending" in clean.kubectl("get", "csr", "whtjane", "--no-headers")
    clean.kubectl("certificate", "approve", "whtjane")
    issued = eventually(
        lambda: clean.get("csr", "whtjane")["status"].get("certificate"), what="the certificate is issued"
    )
    assert "Approved,Issued" in clean.kubectl("get", "csr", "whtjane", "--no-headers")
    config = yaml.safe_load(Path(clean.kubeconfig).read_text())
    user = {"client-certificate-data": issued, "client-key-data": base64.b64encode(made.key_pem).decode()}
    config["users"][0]["user"] = user
    own = tmp_path / "kubeconfig"
    own.write_text(yaml.safe_dump(config))
    who = clean.kubectl(f"--kubeconfig={own}", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert who == "whtjane"
    clean.kubectl("delete", "csr", "whtjane")


def test_endpoints_written_by_hand_answer(clean: Lab) -> None:
    clean.apply(*web("whtback", 1))
    clean.kubectl("rollout", "status", "deployment/whtback", "--timeout=120s")
    (pod,) = clean.running("app=whtback")
    meta = {"name": "whtown"}
    ports = [{"port": 80, "targetPort": 8080}]
    clean.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}},
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": meta,
            "subsets": [{"addresses": [{"ip": pod["status"]["podIP"]}], "ports": [{"port": 8080}]}],
        },
    )
    address = clean.get("service", "whtown")["spec"]["clusterIP"]
    assert eventually(lambda: fetch(address), what="the Service answers") == pod["metadata"]["name"]
    assert clean.get("endpoints", "whtback")["subsets"][0]["addresses"][0]["ip"] == pod["status"]["podIP"]


def test_a_drain_waits_for_the_budget_and_no_request_is_lost(clean: Lab) -> None:
    node, others = "node3", ("node1", "node2")
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "whtdrain"}}}
    kind = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}
    drain = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s")
    try:
        # Both pods on one node: the budget lets the second go only once the first one's successor is ready.
        clean.kubectl("cordon", *others)
        clean.apply(*web("whtdrain", 2), {**kind, "metadata": {"name": "whtdrain"}, "spec": budget})
        clean.kubectl("rollout", "status", "deployment/whtdrain", "--timeout=120s")
        eventually(lambda: clean.get("pdb", "whtdrain")["status"]["disruptionsAllowed"] == 1, what="one may go")
        clean.kubectl("uncordon", *others)
        with traffic(clean.get("service", "whtdrain")["spec"]["clusterIP"]) as seen:
            drained = run([clean.kubectl_path, "--kubeconfig", clean.kubeconfig, *drain])
            clean.kubectl("rollout", "status", "deployment/whtdrain", "--timeout=120s")
    finally:
        clean.kubectl("uncordon", node, *others)
        clean.kubectl("delete", "pdb", "whtdrain", check=False)
    assert "would violate the pod's disruption budget" in drained.stderr
    assert seen.answers > 10
    assert not seen.errors, seen.errors[:3]
    assert node not in {pod["spec"]["nodeName"] for pod in clean.running("app=whtdrain")}


def claim(name: str, **spec: Any) -> dict[str, Any]:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted}


def pod(name: str, command: str, volume: dict[str, Any], **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "main", "image": "wherry.local/busybox:1"}
    container["command"] = ["sh", "-c", command]
    container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, **spec}
    spec["volumes"] = [{"name": "data", **volume}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_a_hundred_creates_at_once_beside_a_deployment_never_pass_a_quota(clean: Lab) -> None:
    room, space = 20, "whtquota"
    # No node takes them: what counts is what is asked for.
    container = {"name": "c", "image": "none", "resources": {"requests": {"cpu": "100m"}}}
    spec = {"nodeSelector": {"wht": "none"}, "containers": [container]}

    def create(which: str) -> int:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": which}, "spec": spec}
        return clean.post("pods", pod, space)

    def pods() -> list[Any]:
        found: list[Any] = clean.get("pods", namespace=space)["items"]
        return found

    def race(prefix: str, creates: int) -> Counter[int]:
        with ThreadPoolExecutor(25) as at_once:
            return Counter(at_once.map(create, (f"{prefix}-{number}" for number in range(creates))))

    clean.kubectl("create", "namespace", space)
    try:
        clean.kubectl("create", "quota", "whtroom", f"--hard=pods={room},requests.cpu=100", "-n", space)
        eventually(lambda: clean.get("serviceaccounts", namespace=space)["items"], what="pods may be created")
        template = {"metadata": {"labels": {"app": "whtmany"}}, "spec": spec}
        many = {"replicas": room, "selector": {"matchLabels": {"app": "whtmany"}}, "template": template}
        meta = {"name": "whtmany", "namespace": space}
        clean.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": many})
        first = race("first", 100)
        eventually(lambda: len(pods()) == room, what="all the room is used")
        assert first.keys() <= {201, 403}
        used = f'{{"pods":"{room}","requests.cpu":"2"}}'
        # What is on its way counts, too, until it is refused: by another server, where there are several.
        eventually(
            lambda: clean.kubectl("get", "quota", "whtroom", "-n", space, "-o", "jsonpath={.status.used}") == used,
            what="as much is used as there is",
        )
        clean.kubectl("delete", "pods", "--all", "-n", space, "--wait=false")
        race("second", 2 * room)
        eventually(lambda: len(pods()) == room, what="all the room is used again")
    finally:
        clean.kubectl("delete", "namespace", space)


def test_what_a_pod_wrote_is_there_for_the_next_and_goes_with_the_claim(clean: Lab) -> None:
    volume = {"persistentVolumeClaim": {"claimName": "whtdata"}}
    user = {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000}
    first = pod("whtfirst", "echo kept > /data/file && sleep 3600", volume, securityContext=user)
    clean.apply(claim("whtdata"), first)
    clean.kubectl("wait", "--for=condition=Ready", "pod/whtfirst", "--timeout=120s")
    found = clean.get("pv", clean.get("pvc", "whtdata")["spec"]["volumeName"])
    path = Path(found["spec"]["local"]["path"])
    assert eventually(lambda: (path / "file").read_text(), what="the pod wrote") == "kept\n"
    assert (path.stat().st_gid, (path / "file").stat().st_gid) == (2000, 2000)
    node = clean.get("pod", "whtfirst")["spec"]["nodeName"]
    clean.kubectl("delete", "pod", "whtfirst", "--timeout=120s")
    clean.apply(pod("whtnext", "cat /data/file && sleep 3600", volume))
    clean.kubectl("wait", "--for=condition=Ready", "pod/whtnext", "--timeout=120s")
    assert clean.kubectl("logs", "whtnext") == "kept\n"
    assert clean.get("pod", "whtnext")["spec"]["nodeName"] == node
    clean.kubectl("delete", "pvc", "whtdata", "--wait=false")
    # In use, it stays.
    assert clean.get("pvc", "whtdata")["metadata"]["deletionTimestamp"]
    assert path.exists()
    clean.kubectl("delete", "pod", "whtnext", "--timeout=120s")
    eventually(
        lambda: found["metadata"]["name"] not in [pv["metadata"]["name"] for pv in clean.get("pv")["items"]],
        what="the volume is gone",
    )
    assert not path.exists()
    assert not clean.get("pods", label="local-path.wherry.local/volume", namespace="kube-system")["items"]


def told(lab: Lab, name: str) -> list[str]:
    """What a pod finds in its volume."""
    return lab.kubectl("exec", name, "--", "cat", "/data/log").split()


def with_data(name: str, replicas: int, **spec: Any) -> dict[str, Any]:
    """A StatefulSet whose pods write their name into a volume of their own each time they start."""
    template = pod("", "echo $(hostname) >> /data/log; exec sleep 3600", {"emptyDir": {}}, **spec)
    del template["spec"]["volumes"], template["metadata"]["name"]
    template["metadata"]["labels"] = {"app": name}
    wanted = {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": {"app": name}}}
    wanted |= {"template": {k: template[k] for k in ("metadata", "spec")}, "volumeClaimTemplates": [claim("data")]}
    wanted |= {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"}}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": wanted}


def test_a_stateful_set_finds_each_ordinals_data_again(clean: Lab) -> None:
    clean.apply(with_data("whtdb", 2))
    clean.kubectl("rollout", "status", "statefulset/whtdb", "--timeout=120s")
    clean.kubectl("scale", "statefulset/whtdb", "--replicas=1")
    eventually(lambda: len(clean.running("app=whtdb")) == 1, what="one is left")
    clean.kubectl("set", "env", "statefulset/whtdb", "ROUND=2")
    clean.kubectl("scale", "statefulset/whtdb", "--replicas=2")
    clean.kubectl("rollout", "status", "statefulset/whtdb", "--timeout=120s")
    for ordinal in (0, 1):
        assert told(clean, f"whtdb-{ordinal}") == [f"whtdb-{ordinal}"] * 2
    clean.kubectl("delete", "statefulset", "whtdb", "--timeout=120s")
    eventually(
        lambda: not clean.get("pvc")["items"] and not clean.get("pv")["items"], what="claims and volumes are gone"
    )


def test_an_ephemeral_volume_lives_as_long_as_its_pod(clean: Lab) -> None:
    template = {"spec": claim("")["spec"]}
    clean.apply(pod("whtscratch", "touch /data/x && sleep 3600", {"ephemeral": {"volumeClaimTemplate": template}}))
    clean.kubectl("wait", "--for=condition=Ready", "pod/whtscratch", "--timeout=120s")
    assert clean.get("pvc", "whtscratch-data")["status"]["phase"] == "Bound"
    clean.kubectl("delete", "pod", "whtscratch", "--timeout=120s")
    eventually(lambda: not clean.get("pvc")["items"], what="its claim is gone")


def test_top_shows_what_is_used_and_an_autoscaler_follows_it(clean: Lab) -> None:
    work = "while [ ! -e /tmp/enough ]; do :; done; exec sleep 3600"
    container: dict[str, Any] = {"name": "main", "image": "wherry.local/busybox:1", "command": ["sh", "-c", work]}
    container["resources"] = {"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}}
    template: dict[str, Any] = {"metadata": {"labels": {"app": "whtbusy"}}}
    template["spec"] = {"containers": [container], "terminationGracePeriodSeconds": 0}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "whtbusy"}}, "template": template}
    at_once = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    scaler: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 2, "behavior": at_once}
    scaler["scaleTargetRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "whtbusy"}
    scaler["metrics"] = [{"type": "Resource", "resource": resource}]
    meta = {"name": "whtbusy"}
    clean.apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
        {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": scaler},
    )

    def lines(*what: str) -> list[str]:
        return clean.kubectl("top", *what, "--no-headers", check=False).splitlines()

    def known() -> bool:
        told = lines("nodes")
        return len(told) == 3 and not any("<unknown>" in line for line in told)

    # A rate takes two readings.
    eventually(known, 60, "every node is told of")
    assert all(int(line.split()[1].removesuffix("m")) >= 0 for line in lines("nodes"))
    try:
        eventually(lambda: len(clean.running("app=whtbusy")) == 2, 90, "there is a second one")
        assert all(int(line.split()[1].removesuffix("m")) > 30 for line in lines("pods", "-l", "app=whtbusy"))
        busy = clean.running("app=whtbusy")[0]
        path = f"/api/v1/nodes/{busy['spec']['nodeName']}/proxy/metrics/cadvisor"
        mine = f'namespace="default",pod="{busy["metadata"]["name"]}"'
        told_here = [line for line in clean.kubectl("get", "--raw", path).splitlines() if mine in line]
        throttled = 'container_cpu_cfs_throttled_seconds_total{container="main"'
        assert any(line.startswith(throttled) and float(line.split()[1]) > 0 for line in told_here)
        received = [line for line in told_here if line.startswith("container_network_receive_bytes_total")]
        assert len(received) == 1 and 'interface="eth0"' in received[0] and 'image="wherry.local/pause' in received[0]
        for each in clean.running("app=whtbusy"):
            clean.kubectl("exec", each["metadata"]["name"], "--", "touch", "/tmp/enough")
        eventually(lambda: clean.get("deployment", "whtbusy")["spec"]["replicas"] == 1, 90, "one is enough again")
        told = clean.kubectl("describe", "hpa", "whtbusy")
        assert "SuccessfulRescale" in told and "above target" in told and "below target" in told
    finally:
        clean.kubectl("delete", "hpa", "whtbusy", check=False)

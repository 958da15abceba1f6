"""What nobody may: read a lab's secrets from beside it, use an agent unasked, or stop a control loop for good."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from pathlib import Path

import pytest

from lab.images.catalog import BUSYBOX
from tests.cluster.lab import Lab, run, web
from tests.waiting import SECONDS, eventually

pytestmark = pytest.mark.cluster

STRANGER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
SECRET = "whtonlyforthepod"


def stranger_may(access: str, path: str) -> bool:
    return subprocess.run([*STRANGER, "test", access, path], check=False).returncode == 0


def directories(lab: Lab) -> list[str]:
    return [f"/var/lib/wherry/{lab.name}", f"/run/wherry/{lab.name}"]


def test_a_stranger_on_the_machine_reads_no_key_and_no_secret(clean: Lab) -> None:
    clean.kubectl("create", "secret", "generic", "whtsecret", f"--from-literal=password={SECRET}")
    source = {"name": "P", "valueFrom": {"secretKeyRef": {"name": "whtsecret", "key": "password"}}}
    body = {
        "name": "c",
        "image": BUSYBOX,
        "command": ["sleep", "1000"],
        "env": [source],
        "volumeMounts": [{"name": "s", "mountPath": "/s"}],
    }
    volumes = [{"name": "s", "secret": {"secretName": "whtsecret"}}]
    spec = {"containers": [body], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    clean.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "whtholder"}, "spec": spec})
    clean.kubectl("wait", "--for=condition=Ready", "pod/whtholder", "--timeout=120s")
    try:
        holding = run(["grep", "-rlIs", SECRET, *directories(clean)], check=False).stdout.split()
        holding += [str(path) for path in Path(f"/var/lib/wherry/{clean.name}").rglob("*.key")]
        holding += [str(path) for path in Path(f"/var/lib/wherry/{clean.name}").rglob("token")]
        assert len(holding) > 5, "the secret is somewhere on this machine, and so are keys and tokens"
        # By their very paths: whoever may not list a directory may have been told what is in it.
        assert [path for path in holding if stranger_may("-r", path)] == []
        found = run([*STRANGER, "find", *directories(clean), "-type", "f", "-readable"], check=False).stdout.split()
        assert {Path(path).name for path in found} == {"lab.json"}
        sockets = run(["find", *directories(clean), "-type", "s"]).stdout.split()
        assert len(sockets) > 3
        assert [path for path in sockets if stranger_may("-w", path)] == []
    finally:
        clean.kubectl("delete", "secret", "whtsecret")


def ask_agent(lab: Lab, path: str, token: str = "") -> tuple[int, str]:
    """An agent's answer to a request with no certificate."""
    address = lab.get("node", "node1")["status"]["addresses"][0]["address"]
    context = ssl.create_default_context(cafile=f"/var/lib/wherry/{lab.name}/pki/ca.crt")
    link = http.client.HTTPSConnection(address, 10250, timeout=SECONDS, context=context)
    try:
        link.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def test_an_agent_lets_in_whom_the_policy_lets_in(clean: Lab) -> None:
    role, account = "whtreader", "system:serviceaccount:default:whtreader"
    try:
        clean.kubectl("create", "serviceaccount", role)
        token = clean.kubectl("create", "token", role).strip()
        elsewhere = clean.kubectl("create", "token", role, "--audience=elsewhere").strip()
        clean.kubectl("create", "clusterrole", role, "--verb=get", "--resource=nodes/pods")
        clean.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", f"--serviceaccount=default:{role}")
        status, text = ask_agent(clean, "/pods", token)
        assert (status, json.loads(text)["kind"]) == (200, "PodList")
        subject = f"(user={account}, verb=get, resource=nodes, subresource(s)=[proxy])"
        assert ask_agent(clean, "/containerLogs/a/b/c", token) == (403, f"Forbidden {subject}")
        for other in ("", "nonsense", elsewhere):
            assert ask_agent(clean, "/pods", other) == (401, "Unauthorized")
    finally:
        for kind in ("clusterrolebinding", "clusterrole", "serviceaccount"):
            clean.kubectl("delete", kind, role, "--ignore-not-found")


def test_a_loop_whose_account_was_deleted_goes_on(clean: Lab) -> None:
    clean.apply(*web("whtanew", 1))
    clean.kubectl("rollout", "status", "deployment/whtanew", "--timeout=120s")
    accounts = ("replicaset-controller", "deployment-controller", "endpointslice-controller")
    clean.kubectl("delete", "serviceaccount", "-n", "kube-system", *accounts)
    clean.kubectl("scale", "deployment/whtanew", "--replicas=3")
    clean.kubectl("rollout", "status", "deployment/whtanew", "--timeout=120s")
    there = {account["metadata"]["name"] for account in clean.get("serviceaccounts", namespace="kube-system")["items"]}
    assert there.issuperset(accounts)
    eventually(lambda: len(clean.running("app=whtanew")) == 3, what="three pods")


def test_the_administrator_s_rights_are_a_binding(lab: Lab) -> None:
    who = json.loads(lab.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert (who["username"], who["groups"]) == ("kubernetes-admin", ["kubeadm:cluster-admins", "system:authenticated"])
    assert lab.get("clusterrolebinding", "kubeadm:cluster-admins")["roleRef"]["name"] == "cluster-admin"

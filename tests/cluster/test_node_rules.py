"""What the node itself decides: whether it takes a pod, who runs again, what it says of both; with a real kubectl."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from typing import Any

import pytest

from tests.cluster.lab import Lab
from tests.waiting import eventually

pytestmark = pytest.mark.cluster

IMAGE = "wherry.local/busybox:1"
FOREVER = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    listed = list(containers) or [container("c")]
    body = {"containers": listed, "terminationGracePeriodSeconds": 1, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def container(name: str, command: Any = FOREVER, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "command": command, **more}


def reaches(lab: Lab, name: str, field: str, value: str) -> None:
    eventually(lambda: status(lab, name).get(field) == value, what=f"{field} {value} of {name}")


def status(lab: Lab, name: str) -> dict[str, Any]:
    found: dict[str, Any] = lab.get("pod", name)["status"]
    return found


def events(lab: Lab, name: str) -> list[dict[str, Any]]:
    """Of this pod alone: another test's pod may have had the name."""
    uid = lab.get("pod", name)["metadata"]["uid"]
    found: list[dict[str, Any]] = lab.get("events", field=f"involvedObject.uid={uid}")["items"]
    return found


def test_a_node_refuses_what_it_cannot_take(clean: Lab) -> None:
    lab = clean
    port = {"ports": [{"containerPort": 8080, "hostPort": 18080}]}
    sysctl = {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}}
    greedy = container("c", resources={"requests": {"cpu": "1000"}, "limits": {"cpu": "1000"}})
    lab.apply(pod("holder", container("c", **port), nodeName="node1"))
    reaches(lab, "holder", "phase", "Running")
    lab.apply(
        pod("greedy", greedy, nodeName="node1"),
        pod("port", container("c", **port), nodeName="node1"),
        pod("sysctl", nodeName="node1", **sysctl),
        pod("elsewhere", nodeName="node1", nodeSelector={"no": "such"}),
    )
    reasons = {"greedy": "OutOfcpu", "port": "NodePorts", "sysctl": "SysctlForbidden", "elsewhere": "NodeAffinity"}
    for name, reason in reasons.items():
        reaches(lab, name, "phase", "Failed")
        said = status(lab, name)
        assert said["reason"] == reason
        assert said["message"].startswith("Pod was rejected: ")
        told = eventually(partial(events, lab, name), what=f"an event of {name}")
        assert [(e["reason"], e["type"]) for e in told] == [(reason, "Warning")]
        assert said["message"] == f"Pod was rejected: {told[0]['message']}"
        assert "containerStatuses" not in said
    # The next agent lets them be.
    before = {name: status(lab, name) for name in reasons}
    victim = lab.pid("node1/agent")
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: lab.pid("node1/agent") not in (0, victim), what="the next agent runs")
    lab.apply(pod("after", nodeName="node1"))
    reaches(lab, "after", "phase", "Running")
    assert {name: status(lab, name) for name in reasons} == before


def test_extended_resources_are_what_somebody_announced(clean: Lab) -> None:
    lab = clean
    patch = json.dumps([{"op": "add", "path": "/status/capacity/example.com~1foo", "value": "3"}])
    lab.kubectl("patch", "node", "node2", "--subresource=status", "--type=json", "-p", patch)

    def announced(kind: str) -> str | None:
        amount: str | None = lab.get("node", "node2")["status"][kind].get("example.com/foo")
        return amount

    eventually(lambda: announced("allocatable") == "3", what="it can be allocated")
    asking = {"resources": {"requests": {"example.com/foo": "2"}, "limits": {"example.com/foo": "2"}}}
    lab.apply(pod("foo", container("c", **asking)))
    eventually(lambda: status(lab, "foo").get("phase") == "Running", what="it is scheduled and admitted")
    assert lab.get("pod", "foo")["spec"]["nodeName"] == "node2"
    lab.apply(pod("late", container("c", **asking), nodeName="node2"))
    eventually(lambda: status(lab, "late").get("reason") == "OutOfexample.com/foo", what="there is no more of it")
    assert announced("capacity") == "3"
    remove = json.dumps([{"op": "remove", "path": "/status/capacity/example.com~1foo"}])
    lab.kubectl("patch", "node", "node2", "--subresource=status", "--type=json", "-p", remove)
    eventually(lambda: announced("allocatable") is None, what="it is gone with its capacity")


def test_restart_rules_and_the_events_that_name_the_container(clean: Lab) -> None:
    lab = clean
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    again = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [43]}}
    once = ["sh", "-c", "test -e /s/$0 && exec sleep 1000; touch /s/$0; exit $1"]
    mount = {"volumeMounts": [{"name": "s", "mountPath": "/s"}]}
    volumes = [{"name": "s", "emptyDir": {}}]
    ruled = {"restartPolicy": "Never", **mount}
    lab.apply(
        pod(
            "rule",
            container("c", [*once, "c", "42"], restartPolicyRules=[rule], **ruled),
            restartPolicy="Never",
            volumes=volumes,
        ),
        pod(
            "all",
            container("cause", [*once, "cause", "43"], restartPolicyRules=[again], **ruled),
            container("other"),
            initContainers=[container("first", ["sh", "-c", "echo x >> /s/first"], **mount)],
            restartPolicy="Never",
            volumes=volumes,
        ),
        pod("over", container("c", ["sh", "-c", "exit 7"], restartPolicyRules=[rule], restartPolicy="Never")),
    )

    def counts(name: str) -> dict[str, int]:
        listed = status(lab, name).get("containerStatuses") or []
        return {s["name"]: s["restartCount"] for s in listed if s["ready"]}

    eventually(lambda: counts("rule") == {"c": 1}, what="the rule restarted it")
    eventually(lambda: counts("all") == {"cause": 1, "other": 1}, what="all started anew")
    eventually(lambda: status(lab, "over").get("phase") == "Failed", what="no rule, no policy: over")
    assert lab.kubectl("exec", "all", "-c", "cause", "--", "cat", "/s/first").split() == ["x", "x"]
    conditions = {c["type"]: c["status"] for c in status(lab, "all")["conditions"]}
    assert conditions["AllContainersRestarting"] == "False"
    assert conditions["Initialized"] == "True"
    paths = eventually(
        lambda: {e["involvedObject"].get("fieldPath") for e in events(lab, "all") if e["reason"] == "Started"},
        what="events",
    )
    assert paths <= {"spec.initContainers{first}", "spec.containers{cause}", "spec.containers{other}"}
    assert None not in paths


def test_variables_from_a_file_of_another_container(clean: Lab) -> None:
    lab = clean
    write = container("writer", ["sh", "-c", "echo \"GREETING='hello there'\" > /s/env"])
    write["volumeMounts"] = [{"name": "s", "mountPath": "/s"}]
    ref = {"volumeName": "s", "path": "env", "key": "GREETING"}
    reader = container("reader", env=[{"name": "GREETING", "valueFrom": {"fileKeyRef": ref}}])
    lab.apply(pod("file", reader, initContainers=[write], volumes=[{"name": "s", "emptyDir": {}}]))
    eventually(lambda: status(lab, "file").get("phase") == "Running", what="it runs")
    assert lab.kubectl("exec", "file", "--", "sh", "-c", "echo $GREETING").strip() == "hello there"


def test_containers_run_under_the_runtimes_seccomp_profile(clean: Lab) -> None:
    lab = clean
    privileged = container("c", securityContext={"privileged": True})
    unconfined = {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}
    lab.apply(pod("plain"), pod("unconfined", **unconfined), pod("privileged", privileged))

    def mode(name: str) -> str:
        text = lab.kubectl("exec", name, "--", "cat", "/proc/self/status")
        return next(line.split()[1] for line in text.splitlines() if line.startswith("Seccomp:"))

    for name, expected in (("plain", "2"), ("unconfined", "0"), ("privileged", "0")):
        reaches(lab, name, "phase", "Running")
        assert mode(name) == expected

"""A node's loops with the real runtime: attempts at their pace, status while a worker waits, a network that is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from lab.paths import Paths
from lab.supervisor_client import Supervision
from tests.cluster.lab import Lab, ready
from tests.cluster.test_node_rules import container, events, pod, status
from tests.waiting import eventually

pytestmark = pytest.mark.cluster
STATE = "/var/lib/wherry/whtlab/nodes/node1/agent/pods"


def waiting(lab: Lab, name: str) -> dict[str, Any]:
    entries = status(lab, name).get("containerStatuses") or [{}]
    found: dict[str, Any] = (entries[0].get("state") or {}).get("waiting") or {}
    return found


def test_a_container_that_cannot_be_created_is_tried_now_and_then(clean: Lab) -> None:
    lab = clean
    profile = {"seccompProfile": {"type": "Localhost", "localhostProfile": "no-such.json"}}
    lab.apply(pod("refused", container("c", securityContext=profile), nodeName="node1"))
    eventually(lambda: waiting(lab, "refused").get("reason") == "CreateContainerError", what="CreateContainerError")
    begun, text = time.monotonic(), waiting(lab, "refused")["message"]
    versions = set()
    while time.monotonic() - begun < 12:
        found = lab.get("pod", "refused")
        versions.add(found["metadata"]["resourceVersion"])
        assert waiting(lab, "refused")["message"] == text
        time.sleep(0.3)
    assert len(versions) <= 2, "the same failure is the same status"
    failed = sum(e.get("count", 1) for e in events(lab, "refused") if e["reason"] == "Failed")
    assert 1 <= failed <= 4, "another attempt every 10 to 15 s"
    uid = lab.get("pod", "refused")["metadata"]["uid"]
    eventually(lambda: not lab.on_node("node1", "ls", f"{STATE}/{uid}/containers/c").split(), what="no file is left")


# Ready until it is told to end, and busy ending for twenty seconds after that.
SLOW = "touch /ready; trap 'rm /ready; sleep 20; exit 0' TERM; while :; do sleep 0.1; done"


def test_readiness_of_a_pod_that_ends_reaches_its_endpoints(clean: Lab) -> None:
    lab = clean
    probe = {"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    manifest = pod("ending", container("c", ["sh", "-c", SLOW], readinessProbe=probe), terminationGracePeriodSeconds=25)
    manifest["metadata"]["labels"] = {"app": "ending"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "ending"},
        "spec": {"selector": {"app": "ending"}, "ports": [{"port": 80}]},
    }
    lab.apply(manifest, service)
    eventually(lambda: ready(lab.get("pod", "ending")), what="pod Ready")

    def endpoint() -> dict[str, Any]:
        slices = lab.get("endpointslices", label="kubernetes.io/service-name=ending")["items"]
        found: list[dict[str, Any]] = [e for s in slices for e in s["endpoints"] or ()]
        return found[0]["conditions"] if found else {}

    eventually(lambda: endpoint().get("serving"), what="endpoint serves")
    lab.kubectl("delete", "pod", "ending", "--wait=false")
    eventually(lambda: endpoint().get("serving") is False and endpoint().get("terminating"), what="serving false")
    assert not ready(lab.get("pod", "ending")), "the pod is still there, and says so"


def while_no_agent_runs(lab: Lab, happens: Callable[[], object]) -> None:
    async def work() -> None:
        supervision = Supervision(Paths(lab.name))
        agent = next(r.process for r in await supervision.reports() if r.process.name == "node1/agent")
        await supervision.stop(agent.name)
        try:
            happens()
        finally:
            await supervision.start(agent)

    asyncio.run(work())


@pytest.mark.parametrize("agent_runs", [True, False])
def test_a_pod_whose_interface_was_deleted_gets_another(clean: Lab, agent_runs: bool) -> None:
    lab = clean
    lab.apply(pod("cut", nodeName="node1"))
    eventually(lambda: ready(lab.get("pod", "cut")), what="pod Ready")
    uid = lab.get("pod", "cut")["metadata"]["uid"]
    lines = lab.on_node("node1", "ip", "-o", "link", "show", "type", "veth").splitlines()
    ours = [line for line in lines if " eth0@" not in line]
    assert len(ours) == 1, "this test's pod is the only one on the node"
    delete = partial(lab.on_node, "node1", "ip", "link", "delete", ours[0].split()[1].partition("@")[0])
    if agent_runs:
        delete()
    else:
        while_no_agent_runs(lab, delete)
    eventually(lambda: "SandboxChanged" in {e["reason"] for e in events(lab, "cut")}, what="SandboxChanged")
    told = {e["reason"]: e["message"] for e in events(lab, "cut")}
    assert told["NetworkNotReady"] == "network is not ready: the interface eth0 of the pod's sandbox is gone"
    eventually(
        lambda: ready(lab.get("pod", "cut")) and status(lab, "cut")["containerStatuses"][0]["restartCount"] == 1,
        what="pod Ready again",
    )
    assert lab.get("pod", "cut")["metadata"]["uid"] == uid
    lab.on_node("node1", "busybox", "ping", "-c", "1", "-W", "2", status(lab, "cut")["podIP"])

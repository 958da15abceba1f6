"""What breaks is mended: processes killed at any time, nodes lost, and nobody who asks through the VIP notices."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.cluster.lab import Lab, fetch, ready, traffic, web
from tests.cluster.test_controllers import told, with_data
from tests.waiting import eventually

pytestmark = pytest.mark.cluster


def containers(lab: Lab, label: str) -> dict[str, tuple[str, int]]:
    """Container id and restart count of each pod's container."""
    found = {}
    for pod in lab.get("pods", label=label)["items"]:
        (status,) = pod["status"]["containerStatuses"]
        found[pod["metadata"]["name"]] = (status["containerID"], status["restartCount"])
    return found


def start_web(lab: Lab, name: str, replicas: int) -> str:
    lab.apply(*web(name, replicas))
    lab.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s")
    vip = str(lab.get("service", name)["spec"]["clusterIP"])
    eventually(lambda: fetch(vip), what="the VIP answers")
    return vip


@pytest.fixture(scope="module")
def steady(lab: Lab) -> Iterator[str]:
    """The VIP of three pods that run while one thing after the other is killed."""
    yield start_web(lab, "steady", 3)
    lab.clear()
    eventually(lambda: not lab.get("pods")["items"], what="the pods are gone")


@pytest.mark.parametrize(
    "component", ["node1/agent", "node1/proxy", "apiserver", "scheduler", "controllers", "hostnet"]
)
def test_a_killed_component_comes_back_and_nothing_else_moves(lab: Lab, steady: str, component: str) -> None:
    before = containers(lab, "app=steady")
    with traffic(steady) as seen:
        victim = lab.pid(component)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: lab.pid(component) not in (0, victim), what=f"{component} runs again")
        # It does its work again: a pod on every node comes up and joins the Service.
        eventually(
            lambda: "scaled" in lab.kubectl("scale", "deployment/steady", "--replicas=6"), what="the API answers"
        )
        eventually(lambda: len(lab.running("app=steady")) == 6, what="six pods run")
    assert not seen.errors, seen.errors[:5]
    after = containers(lab, "app=steady")
    assert before.items() <= after.items(), "running containers were touched"
    lab.kubectl("scale", "deployment/steady", "--replicas=3")
    eventually(lambda: len(containers(lab, "app=steady")) == 3, what="three pods are left")


def test_a_killed_container_is_restarted(clean: Lab) -> None:
    lab = clean
    start_web(lab, "victim", 1)
    (pod,) = lab.running("app=victim")
    name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    lab.wherry("shell", node, "--", "ctr", "task", "kill", "--signal", "SIGKILL", container)
    eventually(lambda: containers(lab, "app=victim").get(name, ("", 0))[1] == 1, what="the container was restarted")
    eventually(lambda: lab.running("app=victim"), what="the pod is Ready again")


def test_a_deleted_pod_is_replaced(clean: Lab) -> None:
    lab = clean
    start_web(lab, "replaced", 2)
    (gone, _) = (pod["metadata"]["name"] for pod in lab.running("app=replaced"))
    lab.kubectl("delete", "pod", gone)
    eventually(lambda: len(lab.running("app=replaced")) == 2, what="two pods run")
    assert gone not in containers(lab, "app=replaced")


def test_a_lost_node_loses_its_pods_to_others_and_comes_back(clean: Lab) -> None:
    lab = clean
    lab.apply(
        *web(
            "moved",
            6,
            tolerations=_tolerations(3),
        )
    )
    # A pod with data of its own on the node that goes. With no time to end it would not be waited for.
    pinned = {"nodeSelector": {"kubernetes.io/hostname": "node3"}, "tolerations": _tolerations(3)}
    lab.apply(with_data("whtkept", 1, terminationGracePeriodSeconds=1, **pinned))
    lab.kubectl("rollout", "status", "deployment/moved", "--timeout=120s")
    lab.kubectl("rollout", "status", "statefulset/whtkept", "--timeout=120s")
    vip = str(lab.get("service", "moved")["spec"]["clusterIP"])
    eventually(lambda: fetch(vip), what="the VIP answers")
    lab.wherry("node", "stop", "node3")
    try:
        eventually(lambda: not ready(lab.get("node", "node3")), what="node3 is NotReady")

        def moved() -> bool:
            pods = lab.running("app=moved")
            return len(pods) == 6 and all(pod["spec"]["nodeName"] != "node3" for pod in pods)

        eventually(moved, 90, "six pods run on the other nodes")
        with traffic(vip) as seen:
            eventually(lambda: seen.answers > 100, what="the VIP goes on answering")
        assert not seen.errors, seen.errors[:5]
        # It is to go, and nobody can say that it has: there is never another one of its ordinal.
        (kept,) = eventually(
            lambda: [p for p in lab.get("pods", label="app=whtkept")["items"] if "deletionTimestamp" in p["metadata"]],
            what="the pod with data is told to go",
        )
    finally:
        lab.wherry("node", "start", "node3")
    assert " Ready" in lab.kubectl("get", "node", "node3")
    eventually(
        lambda: all(p["spec"]["nodeName"] != "node3" for p in lab.get("pods", label="app=moved")["items"]),
        what="what ran on node3 is gone",
    )
    lab.kubectl("rollout", "status", "statefulset/whtkept", "--timeout=120s")
    (again,) = lab.running("app=whtkept")
    assert (again["spec"]["nodeName"], again["metadata"]["uid"] != kept["metadata"]["uid"]) == ("node3", True)
    assert told(lab, "whtkept-0") == ["whtkept-0"] * 2


def _tolerations(seconds: int) -> list[dict[str, object]]:
    """How long a pod stays on a node that fell silent."""
    every = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
    return [{"key": f"node.kubernetes.io/{why}", **every} for why in ("not-ready", "unreachable")]

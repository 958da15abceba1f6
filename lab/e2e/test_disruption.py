"""What happens to a node's machine and daemons, and what must not be felt of it. Last: it takes nodes down."""

from __future__ import annotations

import pytest

from lab.e2e.access import Access, NoAccess
from lab.e2e.cluster import PROBE, WEB, Cluster

# Longer than upstream's grace for a silent node.
SILENCE_SECONDS = 90.0


def _ready(cluster: Cluster, node: str) -> str:
    conditions = cluster.get("node", node)["status"]["conditions"]
    return str(next(c["status"] for c in conditions if c["type"] == "Ready"))


def _container(cluster: Cluster, pod: str) -> tuple[str, int]:
    status = cluster.get("pod", pod)["status"]["containerStatuses"][0]
    return status["containerID"], status["restartCount"]


@pytest.mark.parametrize("daemon", ["agent", "proxy", "containerd"])
def test_a_daemon_that_is_killed_comes_back_and_no_container_notices(
    cluster: Cluster, access: Access, node: str, daemon: str
) -> None:
    pod, vip = cluster.on(node, WEB), str(cluster.get("service", WEB)["spec"]["clusterIP"])
    before = _container(cluster, pod)
    access.restart(node, daemon)
    # A new pod needs all of them.
    after = f"after-{daemon}-{node}"
    cluster.finished(
        after, node, f"i=0; until wget -q -O - http://{vip}/; do i=$((i+1)); [ $i -lt 60 ] || exit 1; sleep 1; done"
    )
    assert cluster.get("pod", after)["status"]["phase"] == "Succeeded"
    assert _container(cluster, pod) == before


def test_a_machine_that_is_started_anew_runs_its_pods_again(cluster: Cluster, access: Access) -> None:
    node = cluster.nodes[-1]
    pod, vip = cluster.on(node, WEB), str(cluster.get("service", WEB)["spec"]["clusterIP"])
    uid, (before, count) = cluster.get("pod", pod)["metadata"]["uid"], _container(cluster, pod)
    access.reboot(node)

    def again() -> bool:
        container, restarts = _container(cluster, pod)
        return container != before and restarts > count

    cluster.until(again, 180, f"{pod} has another container")
    # The same pod, in the same place: nobody made another for it.
    assert cluster.get("pod", pod)["metadata"]["uid"] == uid
    cluster.until(lambda: _ready(cluster, node) == "True", 180, f"{node} is Ready again")
    cluster.kubectl(
        "wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={90 * cluster.patience:.0f}s", timeout=100
    )
    cluster.until(lambda: cluster.fetch(cluster.on(node, PROBE), vip), 120, f"{vip} answers on {node} again")


def test_a_node_that_is_switched_off_is_missed_and_comes_back(cluster: Cluster, access: Access) -> None:
    if isinstance(access, NoAccess):
        access.off("")
    if len(cluster.nodes) < 2:
        pytest.skip("needs two nodes: one goes, one stays")
    stays, goes = cluster.nodes[0], cluster.nodes[-1]
    vip, caller, gone = (
        cluster.get("service", WEB)["spec"]["clusterIP"],
        cluster.on(stays, PROBE),
        cluster.on(goes, WEB),
    )
    access.off(goes)
    try:
        cluster.until(lambda: _ready(cluster, goes) == "Unknown", SILENCE_SECONDS, f"{goes} is missed")

        def without() -> bool:
            slices = cluster.get("endpointslices", "-l", f"kubernetes.io/service-name={WEB}")["items"]
            ready = [e["targetRef"]["name"] for s in slices for e in s["endpoints"] if e["conditions"]["ready"]]
            return gone not in ready

        cluster.until(without, 60, f"{WEB} does without {gone}")
        script = f"for i in $(seq 20); do timeout 5 wget -q -O - http://{vip}/ || echo failed; done"
        assert "failed" not in cluster.inside(caller, "sh", "-c", script)
    finally:
        access.on(goes)
    cluster.until(lambda: _ready(cluster, goes) == "True", 180, f"{goes} is Ready again")
    cluster.kubectl("rollout", "status", f"daemonset/{WEB}", f"--timeout={180 * cluster.patience:.0f}s", timeout=190)
    cluster.until(lambda: cluster.fetch(cluster.on(goes, PROBE), vip), 120, f"{vip} answers on {goes} again")

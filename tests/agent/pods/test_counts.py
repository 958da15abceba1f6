"""What the agent counts of its pods' lives, as its /metrics shows it."""

from __future__ import annotations

import pytest

from agent import metrics as counted
from agent.metrics import ended
from apimachinery.kit import metrics
from tests.agent.harness import container, live, pod
from tests.agent.pods.test_life import deleted, is_ready, status, waits_for
from tests.waiting import until


def shown(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


@live
async def test_starts_and_ends_are_counted_once_each(agent, runtime):
    crash = {"container_type": "container", "exit_code": "3", "reason": "Error"}
    done = {"container_type": "init_container", "exit_code": "0", "reason": "Completed"}
    before = {
        "pods": shown("kubelet_started_pods_total"),
        "inits": shown("kubelet_started_containers_total", container_type="init_container"),
        "crash": shown("kubelet_terminated_containers_total", **crash),
        "done": shown("kubelet_terminated_containers_total", **done),
    }
    init = container("i", "busybox:exit-0")
    manifest = pod(restartPolicy="Never", initContainers=[init], containers=[container("c"), container("d")])
    agent.pods.set_pod("api", manifest)
    await until(lambda: is_ready(agent))
    runtime.exit(next(key for key in runtime.held if runtime.name(key) == "c"), 3)
    await until(lambda: shown("kubelet_terminated_containers_total", **crash) == before["crash"] + 1)
    agent.pods.set_pod("api", deleted(manifest))
    await until(lambda: status(agent).get("phase") in (None, "Failed"))
    assert shown("kubelet_terminated_containers_total", **crash) == before["crash"] + 1
    assert shown("kubelet_terminated_containers_total", **done) == before["done"] + 1
    assert shown("kubelet_started_pods_total") == before["pods"] + 1
    assert shown("kubelet_started_containers_total", container_type="init_container") == before["inits"] + 1


@live
async def test_a_start_that_fails_is_counted_by_its_reason(agent, runtime):
    labels = {"container_type": "container", "code": "CreateContainerError"}
    before = shown("kubelet_started_containers_errors_total", **labels)
    agent.pods.set_pod("api", pod(containers=[container("c", "busybox:createfail")]))
    await until(lambda: waits_for(agent, "c") == "CreateContainerError")
    assert shown("kubelet_started_containers_errors_total", **labels) >= before + 1


END = {"terminated": {"exitCode": 139, "reason": "Error"}}
RUNS: dict[str, object] = {"running": {}}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({}, {"containerStatuses": [{"name": "c", "state": END}]}, [("container", "139", "Error")]),
        (
            {"containerStatuses": [{"name": "c", "state": END}]},
            {"containerStatuses": [{"name": "c", "state": END}]},
            [],
        ),
        (
            {"ephemeralContainerStatuses": [{"name": "c", "state": RUNS}]},
            {"ephemeralContainerStatuses": [{"name": "c", "state": END}, {"name": "d", "state": RUNS}]},
            [("ephemeral_container", "139", "Error")],
        ),
        ({}, {"initContainerStatuses": [{"name": "c", "state": RUNS, "lastState": END}]}, []),
    ],
)
def test_an_end_is_what_a_status_is_the_first_to_show(old, new, found):
    assert list(ended(old, new)) == found


def test_the_type_of_a_container():
    spec = {"initContainers": [{"name": "i"}], "containers": [{"name": "c"}], "ephemeralContainers": [{"name": "e"}]}
    kinds = [counted.container_type({"spec": spec}, name) for name in "ice"]
    assert kinds == ["init_container", "container", "ephemeral_container"]

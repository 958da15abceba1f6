"""What the API is told of a pod, from what the runtime holds: phase, conditions and the state of each container."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.cri.model import Container, State
from agent.status.containers import Observations, Waiting
from agent.status.pod_status import StatusFacts, Verdict, pod_status
from tests.agent.harness import container, pod
from tests.agent.pods.test_plan import record, run

NOW = "2026-01-02T03:04:05Z"
A, B, INIT = container("a"), container("b"), container("i")


def ended(spec: dict[str, Any], code: int, **more: Any) -> Container:
    reason = "Completed" if code == 0 else "Error"
    times = {"started_at": 1_767_323_040_000_000_000, "finished_at": 1_767_323_041_000_000_000}
    return replace(run(spec, State.EXITED, code), reason=reason, **{**times, **more})


def said(manifest: dict[str, Any], *runs: Container, **facts: Any) -> dict[str, Any]:
    return pod_status(manifest, record(*runs), StatusFacts(old={}, now=NOW, **facts))


def ready(*runs: Container, **more: Any) -> Observations:
    ids = frozenset(each.id for each in runs)
    return Observations(ready=ids, started=ids, **more)


def holding(status: dict[str, Any]) -> set[str]:
    return {condition["type"] for condition in status["conditions"] if condition["status"] == "True"}


BASE = {"PodReadyToStartContainers", "PodScheduled"}


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Always", (None, None), "Running"),
        ("Always", (0, None), "Running"),
        ("Always", (0, 1), "Running"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 1), "Running"),
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
        ("Never", (1, None), "Running"),
    ],
)
def test_the_phase_follows_from_ends_and_policy(policy: str, codes: tuple[int | None, ...], phase: str) -> None:
    runs = [run(spec) if code is None else ended(spec, code) for spec, code in zip((A, B), codes, strict=True)]
    assert said(pod(containers=[A, B], restartPolicy=policy), *runs)["phase"] == phase


def test_a_pod_that_runs_is_ready_when_all_its_containers_are() -> None:
    first, second = run(A), run(B)
    manifest = pod(containers=[A, B], restartPolicy="Always")
    status = said(manifest, first, second, containers=ready(first, second))
    assert holding(status) == {*BASE, "Initialized", "ContainersReady", "Ready"}
    assert (status["startTime"], status["qosClass"]) == (NOW, "BestEffort")
    status = said(manifest, first, second, containers=ready(first))
    assert holding(status) == {*BASE, "Initialized"}
    (why,) = {c.get("reason") for c in status["conditions"] if c["status"] == "False"}
    assert why == "ContainersNotReady"
    (text,) = {c.get("message") for c in status["conditions"] if c["status"] == "False"}
    assert text == "containers with unready status: [b]"


def test_init_containers_hold_the_others() -> None:
    manifest = pod(containers=[A], initContainers=[INIT], restartPolicy="Always")
    status = said(manifest, run(INIT))
    assert (status["phase"], holding(status)) == ("Pending", BASE)
    (main,) = status["containerStatuses"]
    assert main["state"] == {"waiting": {"reason": "PodInitializing"}} and not main["started"]
    (told,) = [c["message"] for c in status["conditions"] if c["type"] == "Initialized"]
    assert told == "containers with incomplete status: [i]"
    status = said(manifest, ended(INIT, 0), run(A))
    assert "Initialized" in holding(status) and status["initContainerStatuses"][0]["ready"]


def test_states_of_containers() -> None:
    runs = ended(A, 3, message="why"), run(B)
    status = said(pod(containers=[A, B], restartPolicy="Never"), *runs, containers=ready(runs[1]))
    first, second = status["containerStatuses"]
    assert first["state"]["terminated"] == {
        "exitCode": 3,
        "reason": "Error",
        "message": "why",
        "startedAt": "2026-01-02T03:04:00Z",
        "finishedAt": "2026-01-02T03:04:01Z",
        "containerID": f"containerd://{runs[0].id}",
    }
    assert (first["ready"], first["started"], second["ready"], second["started"]) == (False, False, True, True)
    assert "running" in second["state"] and second["containerID"] == f"containerd://{runs[1].id}"


def test_why_a_container_could_not_be_started_is_what_it_waits_for() -> None:
    waiting = {"c": Waiting("ErrImagePull", "not there")}
    status = said(pod(restartPolicy="Always"), containers=Observations(waiting=waiting))
    (only,) = status["containerStatuses"]
    assert only["state"] == {"waiting": {"reason": "ErrImagePull", "message": "not there"}}
    assert (status["phase"], only["restartCount"], only["image"]) == ("Pending", 0, "busybox:run")


def test_restarts_are_counted_and_the_last_end_remembered() -> None:
    earlier, now = ended(A, 1), replace(run(A, created=3), attempt=1)
    (only,) = said(pod(containers=[A], restartPolicy="Always"), earlier, now)["containerStatuses"]
    assert only["restartCount"] == 1 and only["lastState"]["terminated"]["exitCode"] == 1 and "running" in only["state"]


def test_a_verdict_on_the_whole_pod_fails_it() -> None:
    status = said(pod(restartPolicy="Always"), verdict=Verdict("OutOfcpu", "no room", started=False))
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "OutOfcpu", "no room")
    evicted = Verdict("Evicted", "low on memory", disruption="low on memory")
    runs = run(A)
    status = said(pod(containers=[A], restartPolicy="Always"), runs, verdict=evicted)
    assert status["phase"] == "Failed" and "DisruptionTarget" in holding(status)


def test_how_devices_were_is_still_told_when_they_were_given_back() -> None:
    def told(name: str, device: str, health: str) -> dict[str, Any]:
        return {"name": name, "resources": [{"resourceID": device, "health": health}]}

    gpu, claim = told("example.com/gpu", "g0", "Unhealthy"), told("claim:c", "d0", "Unknown")
    manifest = pod(containers=[A, B], restartPolicy="Never")
    status = said(manifest, run(A), run(B), containers=Observations(devices={"a": [gpu, claim]}))
    for devices in ({"a": [gpu]}, {}):
        facts = StatusFacts(old=status, now=NOW, containers=Observations(devices=devices), terminal=True)
        status = pod_status(manifest, record(ended(A, 1), ended(B, 0)), facts)
        a, b = status["containerStatuses"]
        assert a["allocatedResourcesStatus"] == [gpu, claim] and "allocatedResourcesStatus" not in b
    assert status["phase"] == "Failed"


def test_a_finished_pod_stays_finished() -> None:
    manifest = pod(containers=[A], restartPolicy="Always")
    old = {"phase": "Succeeded", "conditions": []}
    facts = StatusFacts(old=old, now=NOW)
    assert pod_status(manifest, record(sandboxes=()), facts) == old
    assert pod_status(manifest, record(run(A)), facts)["phase"] == "Succeeded"

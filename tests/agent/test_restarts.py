"""Restart policies and rules of containers: who runs again, in which order, and what is reported meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent import restarts
from agent.app import Agent
from agent.cri.model import Container, PodRecord, Sandbox, State
from agent.pods.actions import PodActions, Reset, Seen
from agent.pods.extract import wanted_pod
from agent.pods.plan import plan_pod
from agent.pods.worker import Turn
from tests.agent.admission.test_life import status
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import container, live, pod
from tests.waiting import until

SANDBOX = Sandbox("s", "uid-p", "default", "p", 0, True, 1, ips=("10.0.0.1",))


def rule(action: str, operator: str, *values: int) -> dict[str, Any]:
    return {"action": action, "exitCodes": {"operator": operator, "values": list(values)}}


def ruled(name: str, policy: str, *rules: dict[str, Any], image: str = "busybox:run", **more: Any) -> dict[str, Any]:
    extra = {"restartPolicyRules": list(rules)} if rules else {}
    return container(name, image, **{**({"restartPolicy": policy} if policy else {}), **extra, **more})


RESTART_42 = rule("Restart", "In", 42)
ALL_42 = rule("RestartAllContainers", "In", 42)


@pytest.mark.parametrize(
    ("pod_says", "own", "rules", "code", "expected"),
    [
        ("Always", "", [], 0, True),
        ("OnFailure", "", [], 0, False),
        ("OnFailure", "", [], 1, True),
        ("Never", "", [], 1, False),
        ("Never", "Always", [], 0, True),
        ("Never", "OnFailure", [], 1, True),
        ("Never", "OnFailure", [], 0, False),
        ("Always", "Never", [], 1, False),
        ("Never", "Never", [RESTART_42], 42, True),
        ("Never", "Never", [RESTART_42], 43, False),
        ("Always", "Never", [rule("Restart", "NotIn", 1, 2)], 3, True),
        ("Always", "Never", [rule("Restart", "NotIn", 1, 2)], 2, False),
        ("Always", "Never", [rule("Restart", "NotIn", 1)], 0, True),
        ("Never", "Never", [rule("Restart", "In", 1), RESTART_42], 42, True),
        ("Never", "Never", [ALL_42], 42, True),
        # Nothing an older API server let pass takes effect: an unknown operator, rules without a policy.
        ("Never", "Never", [rule("Restart", "Like", 42)], 42, False),
        ("Never", "", [RESTART_42], 42, False),
        ("Never", "Never", [{"action": "Restart"}], 42, False),
    ],
)
def test_who_runs_again(pod_says: str, own: str, rules: list[dict[str, Any]], code: int, expected: bool) -> None:
    spec = ruled("c", own, *rules)
    assert restarts.policy(pod(containers=[spec], restartPolicy=pod_says), spec).restarts(code) is expected


def run(name: str, state: State = State.EXITED, code: int = 0, attempt: int = 0) -> Container:
    return Container(f"{name}{attempt}", "s", "uid-p", "default", "p", name, attempt, state, 1, exit_code=code)


def planned(made: dict[str, Any], *runs: Container, sandbox: Sandbox = SANDBOX) -> PodActions:
    return plan_pod(wanted_pod(made), Seen(PodRecord("uid-p", (sandbox,), runs)))


def test_a_rule_restarts_in_a_pod_that_never_does() -> None:
    made = pod(containers=[ruled("c", "Never", RESTART_42)], restartPolicy="Never")
    assert planned(made, run("c", code=42)).containers == ("c",)
    assert planned(made, run("c", code=43)).kill_pod
    # The newest end counts.
    assert planned(made, run("c", code=43, attempt=1), run("c", code=42)).kill_pod


def test_the_others_of_a_pod_keep_to_its_policy() -> None:
    made = pod(containers=[container("plain"), ruled("own", "Always")], restartPolicy="Never")
    assert planned(made, run("plain", code=1), run("own", code=0)).containers == ("own",)


@pytest.mark.parametrize(
    ("own", "rules", "code", "starts", "ends"),
    [
        ("", [], 1, (), True),
        ("OnFailure", [], 1, ("i",), False),
        ("Never", [RESTART_42], 42, ("i",), False),
        ("Never", [RESTART_42], 1, (), True),
        ("Never", [RESTART_42], 0, ("j",), False),
    ],
)
def test_init_containers_in_a_pod_that_never_restarts(
    own: str, rules: list[dict[str, Any]], code: int, starts: tuple[str, ...], ends: bool
) -> None:
    inits = [ruled("i", own, *rules), container("j")]
    actions = planned(pod(initContainers=inits, restartPolicy="Never"), run("i", code=code))
    assert (actions.init, actions.kill_pod) == (starts, ends)


def test_an_init_container_that_must_not_restart_ends_a_pod_that_does() -> None:
    made = pod(initContainers=[ruled("i", "Never")], restartPolicy="Always")
    assert planned(made, run("i", code=1)).kill_pod


def test_an_init_container_of_unknown_state_has_no_code_for_a_rule() -> None:
    made = pod(initContainers=[ruled("i", "Never", rule("Restart", "NotIn", 1))], restartPolicy="Always")
    assert planned(made, run("i", State.UNKNOWN)).kill_pod


def test_all_are_taken_away_and_the_cause_goes_last() -> None:
    inits = [container("i"), ruled("s", "Always")]
    mains = [ruled("cause", "Never", ALL_42), container("other")]
    made = pod(initContainers=inits, containers=mains, restartPolicy="Never")
    runs = (
        run("cause", code=42, attempt=1),
        run("cause", code=1),
        run("other", State.RUNNING),
        run("i"),
        run("s", State.RUNNING),
    )
    order = [("cause0", False), ("other0", True), ("i0", False), ("s0", True), ("cause1", False)]
    assert planned(made, *runs).reset == tuple(Reset(*item) for item in order)
    # Killed in the middle, the next agent goes on.
    assert planned(made, runs[0], runs[3]).reset == (Reset("i0", False), Reset("cause1", False))
    # Also where the sandbox died meanwhile: the pod is not over.
    down = replace(SANDBOX, ready=False)
    assert planned(made, runs[0], sandbox=down).reset == (Reset("cause1", False),)
    assert not planned(made, run("cause", code=41), run("i"), run("s", State.RUNNING)).reset


@pytest.mark.parametrize("where", ["initContainers", "containers"])
def test_init_containers_and_sidecars_can_be_the_cause(where: str) -> None:
    spec: dict[str, Any] = {where: [ruled("c", "Always", ALL_42)], "restartPolicy": "Never"}
    if where == "initContainers":
        spec["containers"] = [container("main")]
    assert planned(pod(**spec), run("c", code=42)).reset == (Reset("c0", False),)


def container_status(agent: Agent, name: str, kind: str = "containerStatuses") -> dict[str, Any]:
    return next((s for s in status(agent, "p").get(kind) or () if s["name"] == name), {})


@live
async def test_a_rule_at_work(agent: Agent, runtime: FakeRuntime) -> None:
    spec = ruled("c", "Never", RESTART_42)
    agent.pods.set_pod("api", pod(containers=[spec], restartPolicy="Never"))
    await until(lambda: runtime.running() == ["c"])
    runtime.exit(next(iter(runtime.held)), 42)
    # The first time at once, then with back-off.
    await until(lambda: container_status(agent, "c").get("restartCount") == 1 and runtime.running() == ["c"])
    runtime.exit(next(h.record.id for h in runtime.held.values() if h.record.state is State.RUNNING), 42)
    await until(lambda: container_status(agent, "c").get("state", {}).get("waiting"))
    said = container_status(agent, "c")
    assert said["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert said["lastState"]["terminated"]["exitCode"] == 42
    assert status(agent, "p")["phase"] == "Running"


@live
async def test_a_code_without_a_rule_ends_the_pod(agent: Agent, runtime: FakeRuntime) -> None:
    agent.pods.set_pod("api", pod(containers=[ruled("c", "Never", RESTART_42)], restartPolicy="Always"))
    await until(lambda: runtime.running() == ["c"])
    runtime.exit(next(iter(runtime.held)), 7)
    await until(lambda: status(agent, "p").get("phase") == "Failed")


@live
async def test_all_containers_start_anew(agent: Agent, runtime: FakeRuntime) -> None:
    inits = [container("i", "busybox:exit-0"), ruled("s", "Always")]
    mains = [ruled("c", "Never", ALL_42), container("other")]
    agent.pods.set_pod("api", pod(initContainers=inits, containers=mains, restartPolicy="Never"))
    await until(lambda: runtime.running() == ["c", "other", "s"])
    # What is told from here on is of the second start.
    await until(lambda: status(agent, "p").get("phase") == "Running" and agent.pods.worker("uid-p").turn is Turn.IDLE)  # type: ignore[union-attr]
    seen: list[dict[str, Any]] = []
    worker = agent.pods.worker("uid-p")
    assert worker is not None
    statuses: Any = worker.life.shared.statuses
    statuses.set = lambda pod, said: seen.append(said)
    before = set(runtime.held)
    runtime.exit(next(h.record.id for h in runtime.held.values() if h.record.name == "c"), 42)
    await until(lambda: runtime.running() == ["c", "other", "s"] and not before & set(runtime.held))
    await until(lambda: container_status(agent, "other").get("state", {}).get("running"))
    # The sandbox stays, and with it the pod's address.
    assert runtime.count("RunPodSandbox") == 1
    for name, kind in (("c", "containerStatuses"), ("other", "containerStatuses"), ("s", "initContainerStatuses")):
        said = container_status(agent, name, kind)
        assert said["restartCount"] == 1
        assert said["lastState"]["terminated"]["reason"] == "RestartingAllContainers"
        assert said["lastState"]["terminated"]["exitCode"] == 137
    assert container_status(agent, "i", "initContainerStatuses")["restartCount"] == 1
    conditions = {c["type"]: c for c in status(agent, "p")["conditions"]}
    assert conditions["AllContainersRestarting"]["status"] == "False"
    started = [c for said in seen for c in said["conditions"] if c["type"] == "AllContainersRestarting"]
    assert started[0]["status"] == "True"
    assert started[0]["reason"] == "RestartAllContainersStarted"
    assert started[0]["message"] == "container exited with restart policy rule"
    assert all(c["status"] == "True" for said in seen for c in said["conditions"] if c["type"] == "Initialized")
    waiting = [s for said in seen for s in said["containerStatuses"] if "waiting" in s["state"]]
    assert {s["state"]["waiting"]["reason"] for s in waiting} >= {"RestartingAllContainers"}

"""What becomes of a refused pod, and of those that make room, over the fake runtime."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agent.app import Agent
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import container, live, pod, running
from tests.waiting import until


class Events:
    """A recorder that keeps what it is told."""

    def __init__(self, agent: Agent) -> None:
        self.told: list[tuple[str, str, str, str]] = []
        agent.reporter._recorder = self

    def event(self, obj: dict[str, Any], type: str, reason: str, message: str) -> None:
        self.told.append((obj["name"], type, reason, message))


def status(agent: Agent, name: str) -> dict[str, Any]:
    found = agent.view.find_pod("default", name)
    return found["status"] if found else {}


def asking(name: str, cpu: str, **spec: Any) -> dict[str, Any]:
    return pod(name, containers=[container("c", resources={"requests": {"cpu": cpu}})], **spec)


def cores(agent: Agent) -> int:
    return int(agent.node()["status"]["allocatable"]["cpu"])


@live
async def test_a_refused_pod_fails_for_good_and_nothing_of_it_is_made(agent: Agent, runtime: FakeRuntime) -> None:
    events, want = Events(agent), asking("p", "1000")
    agent.pods.set_pod("api", want)
    await until(lambda: status(agent, "p").get("phase") == "Failed")
    figures = f"requested: 1000000, used: 0, capacity: {cores(agent) * 1000}"
    text = f"Node didn't have enough resource: cpu, {figures}"
    said = status(agent, "p")
    assert (said["reason"], said["message"]) == ("OutOfcpu", f"Pod was rejected: {text}")
    assert "containerStatuses" not in said
    assert events.told == [("p", "Warning", "OutOfcpu", text)]
    # Not tried again, whatever happens to it later.
    agent.pods.set_pod("api", {**want, "metadata": {**want["metadata"], "labels": {"a": "b"}}})
    agent.pods.wake("uid-p")
    await until(lambda: agent.pods.worker("uid-p").life.stage.value == "finished")  # type: ignore[union-attr]
    assert runtime.count("RunPodSandbox") == 0
    assert status(agent, "p")["message"] == said["message"] and len(events.told) == 1


def test_the_next_agent_lets_a_refused_pod_be(tmp_path: Path) -> None:
    async def main() -> None:
        runtime = FakeRuntime()
        # What stood against it is gone; it has failed all the same.
        said = {
            "phase": "Failed",
            "reason": "OutOfcpu",
            "message": "Pod was rejected: …",
            "startTime": "2026-01-01T00:00:00Z",
        }
        want = {**asking("p", "1m"), "status": said}
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("api", want)
            await until(lambda: agent.pods.worker("uid-p").life.stage.value == "finished")  # type: ignore[union-attr]
            assert status(agent, "p") == said
            assert runtime.count("RunPodSandbox") == 0

    asyncio.run(main())


@live
async def test_the_room_of_a_pod_is_taken_until_its_end(agent: Agent, runtime: FakeRuntime) -> None:
    # Two that come at once: one of them fits.
    most = f"{cores(agent) * 1000 - 100}m"
    first, second = asking("a", most), asking("b", most)
    agent.pods.set_pod("api", first)
    agent.pods.set_pod("api", second)
    await until(lambda: status(agent, "a").get("phase") == "Running")
    await until(lambda: status(agent, "b").get("phase") == "Failed")
    assert status(agent, "b")["reason"] == "OutOfcpu"
    agent.pods.remove_pod("api", "uid-a")
    await until(lambda: agent.pods.worker("uid-a") is None)
    agent.pods.set_pod("api", asking("c", most))
    await until(lambda: status(agent, "c").get("phase") == "Running")


def test_what_an_earlier_agent_started_is_not_judged_again_and_keeps_its_room(tmp_path: Path) -> None:
    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            most = f"{cores(agent) * 1000 - 100}m"
            agent.pods.set_pod("api", asking("a", most))
            await until(lambda: status(agent, "a").get("phase") == "Running")
        async with running(tmp_path, runtime, register_taints=("k=v:NoExecute",)) as agent:
            # The newcomer is seen first.
            agent.pods.set_pod("api", asking("b", most, tolerations=[{"operator": "Exists"}]))
            agent.pods.set_pod("api", asking("a", most))
            await until(lambda: status(agent, "b").get("phase") == "Failed")
            assert status(agent, "b")["reason"] == "OutOfcpu"
            await until(lambda: status(agent, "a").get("phase") == "Running")

    asyncio.run(main())


@live
async def test_a_changed_static_pod_takes_over_the_ports_of_the_one_before(agent: Agent, runtime: FakeRuntime) -> None:
    ports = [{"containerPort": 80, "hostPort": 80}]
    for uid in ("one", "two"):
        made = pod("s", uid=uid, containers=[container("c", "busybox:run", ports=ports)])
        made["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
        agent.pods.set_pod("file", made)
        if uid == "one":
            await until(lambda: status(agent, "s").get("phase") == "Running")
            agent.pods.remove_pod("file", "one")
    await until(lambda: agent.pods.worker("one") is None)
    await until(lambda: agent.pods.worker("two").status.get("phase") == "Running")  # type: ignore[union-attr]


@live
async def test_a_critical_pod_waits_until_the_others_have_left(agent: Agent, runtime: FakeRuntime) -> None:
    events, most = Events(agent), f"{cores(agent) * 1000 - 100}m"
    agent.pods.set_pod("api", asking("low", most))
    await until(lambda: status(agent, "low").get("phase") == "Running")
    agent.pods.set_pod("api", asking("high", most, priority=2_000_000_000))
    await until(lambda: status(agent, "high").get("phase") == "Running")
    said = status(agent, "low")
    assert (said["phase"], said["reason"]) == ("Failed", "Preempting")
    assert said["message"] == "Preempted in order to admit critical pod"
    target = next(c for c in said["conditions"] if c["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
    assert target["message"] == "Pod was preempted by Kubelet to accommodate a critical pod."
    assert ("low", "Warning", "Preempting", "Preempted in order to admit critical pod") in events.told
    calls = [name for name, _ in runtime.calls]
    second = len(calls) - 1 - calls[::-1].index("RunPodSandbox")
    assert "StopContainer" in calls[:second]


@live
async def test_labels_newer_than_what_was_seen_count(agent: Agent, runtime: FakeRuntime) -> None:
    async def fresh() -> dict[str, Any]:
        node = agent.node()
        return {**node, "metadata": {**node["metadata"], "labels": {**node["metadata"]["labels"], "new": "1"}}}

    agent.shared.gate._fresh = fresh
    agent.pods.set_pod("api", pod("p", nodeSelector={"new": "1"}))
    agent.pods.set_pod("api", pod("q", nodeSelector={"new": "2"}))
    await until(lambda: status(agent, "p").get("phase") == "Running")
    await until(lambda: status(agent, "q").get("reason") == "NodeAffinity")


@live
async def test_a_node_somebody_made_beforehand_is_as_large_as_the_machine(agent: Agent, runtime: FakeRuntime) -> None:
    expected = agent.node()["status"]["allocatable"]
    made = {"metadata": {"name": "node1", "labels": {"theirs": "1"}}, "spec": {}, "status": {}}
    agent.objects.node = lambda: made  # type: ignore[method-assign]
    assert agent.node()["metadata"]["labels"] == {"theirs": "1"}
    assert agent.node()["status"]["allocatable"] == expected
    agent.pods.set_pod("api", pod("p", nodeSelector={"theirs": "1"}))
    await until(lambda: status(agent, "p").get("phase") == "Running")

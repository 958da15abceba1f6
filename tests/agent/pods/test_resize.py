"""Resources that change while a pod runs: granted, brought about, told; and what is granted while nothing can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.cri.errors import CriError
from agent.cri.model import Container, Limits, State
from agent.host.cgroups import Cgroups, Hierarchy
from agent.pods.resize import Resize, asked, granted_pod, remembered, resizes
from tests import clock
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import container, live, pod, running
from tests.agent.pods.test_life import is_ready, status
from tests.waiting import until

MIB = 1 << 20


def resources(cpu: str = "100m", memory: str = "64Mi", most: str = "128Mi") -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": most}}


def sized(generation: int = 1, name: str = "p", **held: Any) -> dict[str, Any]:
    """A pod of containers with these resources, and perhaps a resize policy beside them."""
    made = []
    for each, what in held.items():
        policy = {"resizePolicy": what["policy"]} if "policy" in what else {}
        plain = {key: value for key, value in what.items() if key != "policy"}
        made.append(container(each, **policy, resources=plain))
    manifest = pod(name, containers=made)
    manifest["metadata"]["generation"] = generation
    return manifest


def conditions(agent: Any, name: str = "p") -> dict[str, dict[str, Any]]:
    return {c["type"]: c for c in status(agent, name).get("conditions", ()) if c["type"].startswith("PodResize")}


def shown(agent: Any, name: str) -> dict[str, Any]:
    found = next(s for s in status(agent)["containerStatuses"] if s["name"] == name)
    return {**found["resources"], "allocated": found["allocatedResources"], "restarts": found["restartCount"]}


def held(runtime: Any, name: str) -> Limits | None:
    found: Limits | None = next(h.record.limits for h in runtime.held.values() if h.record.name == name)
    return found


@live
async def test_what_is_granted_is_what_the_containers_are_held_to_and_shown(agent, runtime):
    agent.pods.set_pod("api", sized(c=resources(), d=resources()))
    await until(lambda: is_ready(agent))
    agent.pods.set_pod("api", sized(2, c=resources("300m", "64Mi", "256Mi"), d=resources()))
    await until(lambda: runtime.count("UpdateContainerResources") == 1)
    await until(lambda: not conditions(agent) and shown(agent, "c")["allocated"]["cpu"] == "300m")
    assert held(runtime, "c") == Limits(307, 0, 256 * MIB) and held(runtime, "d") is None
    assert shown(agent, "c") == {
        "requests": {"cpu": "300m", "memory": "64Mi"},
        "limits": {"memory": "256Mi"},
        "allocated": {"cpu": "300m", "memory": "64Mi"},
        "restarts": 0,
    }
    assert status(agent)["observedGeneration"] == 2


@live
async def test_a_policy_has_the_container_start_anew_and_no_other(agent, runtime):
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    agent.pods.set_pod("api", sized(c={**resources(), "policy": policy}, d=resources()))
    await until(lambda: is_ready(agent))
    agent.pods.set_pod("api", sized(2, c={**resources(cpu="200m"), "policy": policy}, d=resources()))
    await until(lambda: runtime.count("UpdateContainerResources") == 1)
    assert shown(agent, "c")["restarts"] == 0
    more = {**resources("200m", "64Mi", "256Mi"), "policy": policy}
    agent.pods.set_pod("api", sized(3, c=more, d=resources()))
    await until(lambda: shown(agent, "c")["restarts"] == 1 and is_ready(agent) and not conditions(agent))
    assert (shown(agent, "d")["restarts"], runtime.count("UpdateContainerResources")) == (0, 1)


@live
async def test_what_the_node_has_no_room_for_waits_until_there_is_room(agent, runtime):
    whole = int(agent.node()["status"]["allocatable"]["cpu"]) * 1000
    agent.pods.set_pod("api", sized(name="other", o=resources(cpu=f"{whole - 500}m")))
    agent.pods.set_pod("api", sized(c=resources()))
    await until(lambda: is_ready(agent) and is_ready(agent, "other"))
    agent.pods.set_pod("api", sized(2, c=resources(cpu="900m")))
    await until(lambda: "PodResizePending" in conditions(agent))
    waits = conditions(agent)["PodResizePending"]
    assert (waits["reason"], waits["observedGeneration"]) == ("Deferred", 2)
    figures = f"requested: 900, used: {whole - 500}, capacity: {whole}"
    assert waits["message"] == f"Node didn't have enough resource: cpu, {figures}"
    assert shown(agent, "c")["allocated"]["cpu"] == "100m" and not runtime.count("UpdateContainerResources")
    agent.pods.remove_pod("api", "uid-other")
    await until(lambda: shown(agent, "c")["allocated"]["cpu"] == "900m" and not conditions(agent))


@live
async def test_memory_is_not_taken_from_who_uses_it(agent, runtime):
    agent.pods.set_pod("api", sized(c=resources()))
    await until(lambda: is_ready(agent))
    runtime.used["c"] = 100 * MIB
    agent.pods.set_pod("api", sized(2, c=resources(most="70Mi")))
    await until(lambda: conditions(agent).get("PodResizeInProgress", {}).get("reason") == "Error")
    text = f'attempting to set container "c" memory limit ({70 * MIB}) below current usage ({100 * MIB})'
    assert conditions(agent)["PodResizeInProgress"]["message"] == f"cannot decrease memory limits: {text}"
    assert not runtime.count("UpdateContainerResources")
    runtime.used["c"] = 10 * MIB
    await until(lambda: not conditions(agent))
    limits = held(runtime, "c")
    assert limits is not None and limits.memory == 70 * MIB


@live
async def test_a_runtime_that_refuses_is_asked_again_when_it_is_time(agent, runtime):
    agent.pods.set_pod("api", sized(c=resources()))
    await until(lambda: is_ready(agent))
    runtime.fail["UpdateContainerResources"] = CriError("UpdateContainerResources", "Unknown", "no")
    agent.pods.set_pod("api", sized(2, c=resources(cpu="200m")))
    await until(lambda: conditions(agent).get("PodResizeInProgress", {}).get("reason") == "Error")
    for _ in range(5):
        agent.pods.wake("uid-p")
    assert runtime.count("UpdateContainerResources") == 1
    del runtime.fail["UpdateContainerResources"]
    await until(lambda: not conditions(agent))
    assert runtime.count("UpdateContainerResources") == 2


def test_an_agent_brings_about_what_the_one_before_it_began(tmp_path: Path) -> None:
    wished = sized(2, c=resources(cpu="200m"))

    async def scenario() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("api", sized(c=resources()))
            await until(lambda: is_ready(agent))
            runtime.fail["UpdateContainerResources"] = CriError("UpdateContainerResources", "Unknown", "no")
            agent.pods.set_pod("api", wished)
            await until(lambda: conditions(agent).get("PodResizeInProgress", {}).get("reason") == "Error")
            told = status(agent)
        runtime.fail.clear()
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("api", {**wished, "status": told})
            await until(lambda: is_ready(agent) and not conditions(agent))
            assert held(runtime, "c") == Limits(204, 0, 128 * MIB)

    clock.run(scenario())


def memory_limit(agent: Any) -> Path:
    """Of the pod's cgroup."""
    found: Path = agent.settings.root_dir / "cgroup/kubepods/burstable/poduid-p/memory.max"
    return found


def most_memory(agent: Any) -> int:
    """To what the pod's cgroup is held, in MiB."""
    return int(memory_limit(agent).read_text()) // MIB


def with_cgroups(agent: Any) -> None:
    """A directory tree in which the memory controller holds the pod."""
    mount = agent.settings.root_dir / "cgroup"
    memory_limit(agent).parent.mkdir(parents=True)
    memory_limit(agent).touch()
    object.__setattr__(agent.shared, "cgroups", Cgroups("/", Hierarchy(True, (mount,), (mount,))))


@live
async def test_a_pod_shrinks_after_its_containers_whatever_else_happens_in_it(agent, runtime):
    with_cgroups(agent)
    agent.pods.set_pod("api", sized(c=resources(), d=resources()))
    await until(lambda: is_ready(agent))
    runtime.used["c"] = 100 * MIB
    agent.pods.set_pod("api", sized(2, c=resources(most="70Mi"), d=resources()))
    await until(lambda: conditions(agent).get("PodResizeInProgress", {}).get("reason") == "Error")
    runtime.exit(next(key for key in runtime.held if runtime.name(key) == "d"), 1)
    await until(lambda: shown(agent, "d")["restarts"] == 1)
    assert most_memory(agent) == 256
    runtime.used["c"] = 10 * MIB
    await until(lambda: not conditions(agent))
    assert most_memory(agent) == 198


@live
async def test_a_pod_shrinks_once_the_container_that_starts_anew_for_it_has_ended(agent, runtime):
    with_cgroups(agent)
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    agent.pods.set_pod("api", sized(c={**resources(), "policy": policy}))
    await until(lambda: is_ready(agent))
    runtime.fail["StopContainer"] = CriError("StopContainer", "Unknown", "no")
    agent.pods.set_pod("api", sized(2, c={**resources(most="70Mi"), "policy": policy}))
    await until(lambda: runtime.count("StopContainer") > 0)
    assert most_memory(agent) == 128
    runtime.fail.clear()
    await until(lambda: shown(agent, "c")["restarts"] == 1 and not conditions(agent))
    assert most_memory(agent) == 70


@live
async def test_a_limit_that_the_kernel_refuses_is_told_and_tried_again(agent, runtime):
    with_cgroups(agent)
    memory_limit(agent).unlink()
    memory_limit(agent).mkdir()
    events: list[tuple[str, ...]] = []
    agent.reporter._tell = lambda subject, *rest: events.append(rest)
    agent.pods.set_pod("api", sized(c=resources()))
    why = f'failed to write "134217728" to {memory_limit(agent)}: Is a directory'
    wanted = ("Warning", "FailedCreatePodContainer", f"unable to ensure pod container exists: {why}")
    await until(lambda: wanted in events)
    assert not runtime.count("RunPodSandbox")
    memory_limit(agent).rmdir()
    memory_limit(agent).touch()
    await until(lambda: is_ready(agent))
    assert most_memory(agent) == 128


OLD, NEW = sized(c=resources()), sized(2, c=resources(cpu="200m"))


def test_a_grant_changes_resources_alone() -> None:
    grant = asked(OLD)
    assert granted_pod(OLD, grant) is OLD
    found = granted_pod(NEW, grant)
    assert found["metadata"] is NEW["metadata"]
    assert found["spec"]["containers"][0]["resources"] == OLD["spec"]["containers"][0]["resources"]
    assert NEW["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "200m"


@pytest.mark.parametrize(
    ("state", "told", "granted"),
    [
        ("running", {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}, "100m"),
        ("terminated", {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}, "200m"),
        ("running", None, "200m"),
    ],
)
def test_an_agent_remembers_by_the_status(state: str, told: dict[str, Any] | None, granted: str) -> None:
    shown = {"name": "c", "state": {state: {}}, **({"resources": told} if told else {})}
    found = granted_pod(NEW, remembered({**NEW, "status": {"containerStatuses": [shown]}}))
    assert found["spec"]["containers"][0]["resources"]["requests"]["cpu"] == granted


def test_memory_that_nobody_asked_for_is_not_remembered() -> None:
    wished = sized(c={"requests": {"cpu": "100m"}})
    status = {"name": "c", "state": {"running": {}}, "resources": {"requests": {"cpu": "100m", "memory": "0"}}}
    found = remembered({**wished, "status": {"containerStatuses": [status]}})
    assert granted_pod(wished, found) is wished


def run(limits: Limits | None, created: int = 1, state: State = State.RUNNING) -> Container:
    return Container("id", "s", "u", "n", "p", "c", 0, state, created, limits=limits)


BEFORE, AFTER = Limits(102, 0, 128), Limits(204, 0, 128)


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (run(BEFORE), {"cpu"}),
        (run(None), {"cpu"}),
        (run(AFTER), set()),
        (run(Limits(204, 0, 64)), {"memory"}),
        (run(BEFORE, created=9), set()),
        (run(BEFORE, state=State.EXITED), set()),
        (None, set()),
    ],
)
def test_what_has_to_change(there: Container | None, found: set[str]) -> None:
    assert Resize(AFTER, BEFORE, frozenset(), 5).changes(there) == found
    assert not Resize(AFTER, BEFORE, frozenset(), 5, {"id": AFTER}).changes(there)


def test_what_the_runtime_took_last_counts_and_what_is_not_known_is_taken_for_changed() -> None:
    assert Resize(BEFORE, BEFORE, frozenset(), 5, {"id": AFTER}).changes(run(None)) == {"cpu"}
    unknown = Resize(AFTER, None, frozenset({"memory"}), 5)
    assert unknown.changes(run(None)) == {"cpu", "memory"}
    assert unknown.restarts(run(None)) and unknown.lowers_memory(run(None))
    assert not unknown.changes(run(AFTER)) and not unknown.changes(run(None, created=9))


def test_resizes_say_what_was_and_what_is_to_be() -> None:
    found = resizes(OLD, NEW, 5)["c"]
    assert (found.before, found.limits) == (Limits(102, 0, 128 * MIB), Limits(204, 0, 128 * MIB))
    assert not found.lowers_memory(run(found.before))
    assert Resize(Limits(2, 0, 64), BEFORE, frozenset(), 5).lowers_memory(run(BEFORE))

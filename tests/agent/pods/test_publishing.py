"""Readiness and status are published while the worker waits for something slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests import clock
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import container, pod, running
from tests.agent.pods.test_life import deleted, is_ready, status
from tests.waiting import until

READY = {"exec": {"command": ["ask"]}, "periodSeconds": 1, "failureThreshold": 1}
# Far less than what the worker waits for in each case, far more than a report takes.
SOON = 5.0


def published(manifest: dict, goes: Callable[[Any, FakeRuntime], Any]) -> Callable[[Any], None]:
    """A test: the pod comes up with its probe's consent, `goes` makes the worker wait and returns what tells that
    it does; the probe's refusal is published meanwhile, and so is its consent after that."""

    def run(tmp_path) -> None:
        async def main() -> None:
            runtime = FakeRuntime()
            async with running(tmp_path, runtime) as agent:
                agent.pods.set_pod("api", manifest)
                await until(lambda: "c" in runtime.running() and ready_of(agent, "c"))
                waits = goes(agent, runtime)
                await until(waits)
                runtime.exec_codes["ask"] = 1
                await until(lambda: not ready_of(agent, "c") and not is_ready(agent), SOON)
                conditions = {c["type"]: c["status"] for c in status(agent)["conditions"]}
                assert conditions["ContainersReady"] == "False"
                runtime.exec_codes["ask"] = 0
                await until(lambda: ready_of(agent, "c"), SOON)
                assert waits(), "the worker still waits"
                runtime.hang.clear()

        clock.run(main())

    return run


def ready_of(agent, name: str) -> bool:
    entries = (
        *status(agent).get("containerStatuses", ()),
        *status(agent).get("initContainerStatuses", ()),
    )
    return any(s["name"] == name and s["ready"] for s in entries)


def stops(manifest: dict) -> Callable[[Any, FakeRuntime], Any]:
    def goes(agent, runtime: FakeRuntime) -> Any:
        agent.pods.set_pod("api", deleted(manifest, 20))
        return lambda: runtime.count("StopContainer") and "c" in runtime.running()

    return goes


STUBBORN = pod(containers=[container("c", "busybox:stubborn", readinessProbe=READY)])
test_during_the_grace_period = published(STUBBORN, stops(STUBBORN))


SLEEPS = {"preStop": {"sleep": {"seconds": 15}}}
HOOKED = pod(containers=[container("c", readinessProbe=READY, lifecycle=SLEEPS)])


def _hook(agent, runtime: FakeRuntime) -> Any:
    agent.pods.set_pod("api", deleted(HOOKED, 20))
    return lambda: agent.pods.worker("uid-p").life.killing is not None and "c" in runtime.running()


test_during_a_pre_stop_hook = published(HOOKED, _hook)


FAILS = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1, "terminationGracePeriodSeconds": 20}
BESIDE = pod(
    containers=[container("c", readinessProbe=READY), container("d", "busybox:stubborn", livenessProbe=FAILS)],
)


def _other_killed(agent, runtime: FakeRuntime) -> Any:
    return lambda: runtime.count("StopContainer") and "d" in runtime.running()


test_while_another_container_is_killed_for_liveness = published(BESIDE, _other_killed)


PULLS = pod(containers=[container("c", readinessProbe=READY), container("d", "busybox:absent")])


def test_while_another_containers_image_is_pulled(tmp_path):
    async def main() -> None:
        runtime = FakeRuntime()
        runtime.hang.add("PullImage")
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("api", PULLS)
            await until(lambda: runtime.count("PullImage"))
            conditions = {c["type"]: c["status"] for c in status(agent)["conditions"]}
            await until(lambda: ready_of(agent, "c"), SOON)
            conditions = {c["type"]: c["status"] for c in status(agent)["conditions"]}
            assert (conditions["PodReadyToStartContainers"], conditions["Ready"]) == ("True", "False")
            assert status(agent)["podIP"] == "10.1.2.3"
            runtime.exec_codes["ask"] = 1
            await until(lambda: not ready_of(agent, "c"), SOON)
            # An end is seen, too.
            runtime.exit(next(i for i, h in runtime.held.items() if h.record.name == "c"), 3)

            def state() -> dict:
                return next(s for s in status(agent)["containerStatuses"] if s["name"] == "c")["state"]

            await until(lambda: state().get("terminated", {}).get("exitCode") == 3, SOON)

    clock.run(main())


SIDECAR = pod(
    containers=[container("m")],
    initContainers=[
        container("c", restartPolicy="Always", readinessProbe=READY),
        container("i", "busybox:absent"),
    ],
)


def test_a_sidecar_while_the_next_init_containers_image_is_pulled(tmp_path):
    async def main() -> None:
        runtime = FakeRuntime()
        runtime.hang.add("PullImage")
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("api", SIDECAR)
            await until(lambda: runtime.count("PullImage") and ready_of(agent, "c"))
            runtime.exec_codes["ask"] = 1
            await until(lambda: not ready_of(agent, "c"), SOON)

    clock.run(main())


def test_a_phase_is_terminal_only_once_nothing_runs(tmp_path):
    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            said: list[tuple[str, str, list[str]]] = []
            agent.writer.set = lambda p, s: said.append(  # type: ignore[method-assign,assignment]
                (s["phase"], s.get("reason", ""), runtime.running())
            )
            manifest = pod(image="busybox:stubborn", activeDeadlineSeconds=2)
            agent.pods.set_pod("api", manifest)
            await until(lambda: said and said[-1][0] == "Failed")
            assert said[-1][1] == "DeadlineExceeded"
            assert not [each for each in said if each[0] == "Failed" and each[2]], said

    clock.run(main())


def test_nothing_is_said_of_a_pod_whose_object_is_gone(tmp_path):
    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("api", pod(image="busybox:stubborn"))
            await until(lambda: is_ready(agent))
            said: list[dict] = []
            agent.writer.set = lambda p, s: said.append(s)  # type: ignore[method-assign,assignment]
            agent.pods.remove_pod("api", "uid-p")
            await until(lambda: agent.pods.worker("uid-p") is None)
            assert not said

    clock.run(main())


def test_what_a_kill_left_behind_is_cleaned_without_a_word(tmp_path):
    """Its pod's name is known to nobody: a status would be written to no name in no namespace."""

    async def main() -> None:
        runtime = FakeRuntime()
        (tmp_path / "root/pods/uid-x/volumes").mkdir(parents=True)
        async with running(tmp_path, runtime) as agent:
            said: list[dict] = []
            agent.writer.set = lambda p, s: said.append(p)  # type: ignore[method-assign,assignment]
            agent.pods.synced("api")
            agent.pods.all_synced.set()
            await until(lambda: not (tmp_path / "root/pods/uid-x").exists())
            assert not said

    clock.run(main())

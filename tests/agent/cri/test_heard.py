"""A runtime that is silent for a moment is believed as it was."""

from __future__ import annotations

import asyncio

import pytest

from agent.cri.errors import CriError, CriUnavailable
from agent.cri.heard import GRACE_SECONDS, Heard
from agent.cri.model import RuntimeInfo
from tests import clock
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import pod, running
from tests.agent.pods.test_life import is_ready
from tests.waiting import until


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("failure", ["error", "silence"])
def test_the_last_answer_stands_for_thirty_seconds(failure: str) -> None:
    async def main() -> None:
        clock, well = Clock(), True

        async def ask() -> str:
            if well:
                return "ready"
            if failure == "silence":
                await asyncio.Event().wait()
            raise CriUnavailable("Status", "Unavailable", "connection refused")

        heard = Heard(ask, 0.01, clock)
        assert await heard.get() == "ready"
        well = False
        clock.now += GRACE_SECONDS - 1
        assert (await heard.get(), heard.in_grace) == ("ready", True)
        clock.now += 2
        assert not heard.in_grace
        with pytest.raises((CriError, asyncio.TimeoutError)):
            await heard.get()
        well = True
        assert (await heard.get(), heard.in_grace) == ("ready", True)

    clock.run(main())


def test_what_was_never_heard_is_not_made_up() -> None:
    async def main() -> None:
        clock = Clock()

        async def ask() -> str:
            raise CriUnavailable("Status", "Unavailable", "connection refused")

        heard = Heard(ask, 0.01, clock)
        assert heard.in_grace, "the agent may have been restarted a moment ago"
        with pytest.raises(CriUnavailable):
            await heard.get()
        clock.now += GRACE_SECONDS
        assert not heard.in_grace

    clock.run(main())


def test_an_answer_that_was_long_under_way_does_not_undo_a_newer_one() -> None:
    async def main() -> None:
        answers = [asyncio.get_running_loop().create_future() for _ in range(2)]
        asked = iter(answers)

        async def ask() -> str:
            return await next(asked)

        heard = Heard(ask, 5.0)
        first, second = asyncio.ensure_future(heard.get()), asyncio.ensure_future(heard.get())
        await asyncio.sleep(0)
        answers[1].set_result("new")
        assert (await second, heard.last) == ("new", "new")
        answers[0].set_result("old")
        assert (await first, heard.last) == ("old", "new")

    clock.run(main())


CALLS = ["ListPodSandbox", "ListContainers", "PodSandboxStatus", "ContainerStatus", "ExecSync"]


@pytest.mark.parametrize("method", CALLS)
def test_no_failed_call_makes_a_pod_unready(tmp_path, method: str) -> None:
    async def main() -> None:
        runtime = FakeRuntime()
        probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1}
        manifest = pod()
        manifest["spec"]["containers"][0].update(readinessProbe=probe, livenessProbe=probe)
        async with running(tmp_path, runtime) as agent:
            agent.pods.set_pod("file", manifest)
            await until(lambda: is_ready(agent))
            before = await agent.view.info()
            said: list[dict] = []
            agent.writer.set = lambda p, s: said.append(s)  # type: ignore[method-assign,assignment]
            runtime.fail[method] = CriUnavailable(method, "Unavailable", "connection refused")

            async def silent() -> RuntimeInfo:
                raise CriUnavailable("Status", "Unavailable", "connection refused")

            agent.view._info._ask = silent
            agent.cache.on_stream(False)
            asked = runtime.count(method)
            if method in ("PodSandboxStatus", "ContainerStatus"):
                runtime_id = next(iter(runtime.sandboxes if "Sandbox" in method else runtime.held))
                with pytest.raises(CriUnavailable):
                    await (
                        agent.cache.refresh_sandbox(runtime_id)
                        if "Sandbox" in method
                        else agent.cache.refresh_container(runtime_id)
                    )
            await until(lambda: runtime.count(method) > asked)
            agent.pods.wake("uid-p")
            await asyncio.sleep(0.2)
            assert is_ready(agent) and not said
            assert await agent.view.info() == before
            assert runtime.running() == ["c"] and runtime.count("StopContainer") == 0

    clock.run(main())

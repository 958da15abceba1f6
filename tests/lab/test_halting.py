"""The end of a machine's pods comes to an end itself, whatever its runtime does."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from agent.cri.messages import pb
from lab.standalone import halting
from tests import clock
from tests.agent.fake_cri import FakeRuntime

GRACE = 30


@pytest.mark.parametrize("call", ["ListContainers", "ContainerStatus", "StopContainer", "ListPodSandbox"])
def test_a_runtime_that_never_answers_is_waited_for_so_long_and_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str
) -> None:
    runtime = FakeRuntime()
    pod = pb.PodSandboxConfig(metadata=pb.PodSandboxMetadata(name="web", uid="1"))
    container = pb.ContainerConfig(metadata=pb.ContainerMetadata(name="main"))
    monkeypatch.setattr(halting, "CriClient", lambda *_: runtime)

    async def main() -> None:
        sandbox = await runtime.run_sandbox(pod)
        await runtime.start_container(await runtime.create_container(sandbox, container, pod))
        runtime.hang.add(call)
        began = time.monotonic()
        assert await halting.end_pods(GRACE, tmp_path) == ["the runtime has not ended all pods within 90 s"]
        assert time.monotonic() - began == pytest.approx(GRACE + halting.REST_SECONDS)

    clock.run(main())
    assert call in {method for method, _ in runtime.calls}


def test_what_listens_and_never_says_a_word_is_told_after_one_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(halting, "REQUEST_SECONDS", 0.05)

    async def main() -> None:
        async with await asyncio.start_unix_server(lambda *_: None, tmp_path / "socket"):
            [told] = await halting.end_pods(GRACE, tmp_path / "socket")
        assert told.startswith("the runtime: rpc error: code = ")

    asyncio.run(main())


def test_where_no_runtime_is_there_is_nothing_to_end(tmp_path: Path) -> None:
    assert asyncio.run(halting.end_pods(GRACE, tmp_path / "socket")) == []

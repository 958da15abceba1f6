"""The whole agent over a fake runtime, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from agent.app import Agent, NetworkCheck
from agent.settings import AgentSettings
from apimachinery.kit.lifecycle import Lifecycle
from tests import clock
from tests.agent.fake_cri import FakeRuntime
from tests.waiting import SECONDS


@contextlib.asynccontextmanager
async def running(
    tmp_path: Path, runtime: FakeRuntime, *, networks: NetworkCheck | None = None, **overrides: Any
) -> AsyncIterator[Agent]:
    """An agent at work on `runtime`; stopped (its containers not) at the end."""
    settings = AgentSettings(
        node_name="node1",
        root_dir=tmp_path / "root",
        pod_log_dir=tmp_path / "logs",
        manage_cgroups=False,
        bind_address="127.0.0.1",
        port=0,
        healthz_port=0,
        **overrides,
    )
    agent = Agent(settings, runtime)  # type: ignore[arg-type]
    # The test is the source of pods: what it has not named yet is nobody's only once it says so.
    agent.pods.all_synced.clear()
    lifecycle = Lifecycle()
    try:
        await agent.start(lifecycle, networks)
        yield agent
    finally:
        lifecycle.request_stop()
        await asyncio.wait_for(lifecycle.wait(), SECONDS)


def live(test: Callable[[Agent, FakeRuntime], Awaitable[None]]) -> Callable[[Path], None]:
    """Run an async test with an agent over a fake runtime, on a loop whose time is turned on."""

    def run(tmp_path: Path) -> None:
        async def main() -> None:
            runtime = FakeRuntime()
            async with running(tmp_path, runtime) as agent:
                await test(agent, runtime)

        clock.run(main())

    run.__name__ = test.__name__
    return run


def pod(name: str = "p", *, uid: str = "", image: str = "busybox:run", **spec: object) -> dict:
    """A pod of one container `c`, unless `containers` says otherwise."""
    containers = spec.pop("containers", None) or [container("c", image)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": uid or f"uid-{name}"},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 1, **spec},
    }


def container(name: str, image: str = "busybox:run", **more: object) -> dict:
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", **more}

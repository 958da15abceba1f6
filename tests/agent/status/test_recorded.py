"""Pod statuses beside those upstream's kubelet reported for the same pods and the same runtime behaviour.

All pods live in one agent for a while, as they did there. What depends on the moment of looking is left out: how many
restarts there were by then, and whether a container between two restarts reads terminated or waiting.
"""

import asyncio
import json
import re

import pytest

from tests import clock
from tests.agent import golden
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import running
from tests.golden import MISSING

CASES = golden.cases("pod-status.json")
pytestmark = pytest.mark.skipif(not CASES, reason=MISSING)
SECONDS = 12.0


@pytest.fixture(scope="module")
def statuses(tmp_path_factory) -> dict[str, dict]:
    """Every case's status after the recorded time."""

    async def live() -> dict[str, dict]:
        runtime = FakeRuntime()
        async with running(tmp_path_factory.mktemp("agent"), runtime) as agent:
            for case in CASES:
                pod = golden.static_pod(case["pod"])
                pod["metadata"]["uid"] = "uid-" + case["name"]
                agent.pods.set_pod("file", pod)
            await asyncio.sleep(SECONDS)
            return {p["metadata"]["name"].removesuffix("-node1"): p["status"] for p in agent.view.pods()}

    return clock.run(live())


def _steady(status: dict, name: str) -> dict:
    """The status without what the moment decides."""
    text = json.dumps(status)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "$TIME", text)
    text = re.sub(r"containerd://[0-9a-f]{64}", "containerd://$ID", text).replace(f"uid-{name}", "$UID")
    status = json.loads(text)
    if status["phase"] in ("Succeeded", "Failed"):
        # The recording's runtime kept the sandbox of a finished pod ready. A real one is stopped, and upstream
        # documents the condition as false from then on.
        for condition in status.get("conditions", ()):
            if condition["type"] == "PodReadyToStartContainers":
                condition["status"] = "sandbox's"
    if name == "host-network":
        # The recording's runtime gave such a sandbox an address. A real one gives none, and the node of the recording
        # had none to stand in.
        status = {key: value for key, value in status.items() if key not in ("podIP", "podIPs")}
    for key in ("containerStatuses", "initContainerStatuses"):
        for entry in status.get(key, ()):
            if not entry["restartCount"]:
                continue
            entry["restartCount"] = "some"
            waiting = entry["state"].get("waiting", {})
            if waiting.get("reason") in ("CrashLoopBackOff", "RunContainerError", "PostStartHookError"):
                # What the last run ended with stands in either place.
                entry["state"] = entry["lastState"]
    return status


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_status(case, statuses):
    name = case["name"]
    assert _steady(statuses[name], name) == _steady(case["status_after_12s"], name)

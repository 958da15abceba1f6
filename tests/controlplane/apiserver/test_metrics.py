"""metrics.k8s.io: two summaries into what was used between them, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apimachinery import errors
from apimachinery.kinds import POD_METRICS
from apimachinery.objects import Obj
from apimachinery.timestamps import parse_time
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.request import Request
from controlplane.apiserver.resources import builtin, metrics
from controlplane.apiserver.streams.backend import Agents
from controlplane.apiserver.streams.usage import PERIOD, SOON, Key, Meter, Reading, Usage, between, readings
from controlplane.apiserver.subresources.metrics import Metrics, pod_metrics
from tests.clock import run

T0 = parse_time("2026-01-01T00:00:00Z")
MiB = 1 << 20


def stats(seconds: int, cpu: int, memory: int = MiB) -> Obj:
    stamp = f"2026-01-01T00:00:{seconds:02}Z"
    return {"cpu": {"time": stamp, "usageCoreNanoSeconds": cpu}, "memory": {"time": stamp, "workingSetBytes": memory}}


def summary(seconds: int, node: int, **containers: int) -> Obj:
    told = [{"name": name, **stats(seconds, cpu)} for name, cpu in containers.items()]
    pods = [{"podRef": {"namespace": "ns", "name": "p"}, "containers": told}]
    return {"node": {"nodeName": "n", **stats(seconds, node)}, "pods": pods}


def test_what_a_summary_says() -> None:
    told = summary(5, 100, c=7)
    told["pods"][0]["containers"].append({"name": "new", "cpu": {}, "memory": {}})
    moment = T0 + timedelta(seconds=5)
    assert readings(told) == {(): Reading(moment, 100, MiB), ("ns", "p", "c"): Reading(moment, 7, MiB)}


BETWEEN = [
    (None, None),
    (Reading(T0, 0, 1), Usage(T0 + timedelta(seconds=4), 4.0, 250, MiB)),
    # A container that began anew counts from nothing.
    (Reading(T0, 1001, 1), None),
    (Reading(T0 + timedelta(seconds=4), 900, 1), None),
]


@pytest.mark.parametrize(("old", "used"), BETWEEN)
def test_what_was_used_between_two_readings(old: Reading | None, used: Usage | None) -> None:
    assert between(old, Reading(T0 + timedelta(seconds=4), 1000, MiB)) == used


@pytest.mark.parametrize(("age", "window"), [(9.9, None), (10.0, 10.0), (14.9, 14.9), (15.0, None), (3600.0, None)])
@pytest.mark.parametrize("before", [None, Reading(T0 - timedelta(seconds=20), 5000, 1)])
def test_of_a_container_that_started_lately_one_reading_tells(
    before: Reading | None, age: float, window: float | None
) -> None:
    used = between(before, Reading(T0, 4000, MiB, T0 - timedelta(seconds=age)))
    assert (used and used.window) == window
    assert used is None or used.cpu == int(4000 / age)


def test_a_summary_says_when_a_container_began() -> None:
    told = summary(5, 100, c=7)
    told["pods"][0]["containers"][0]["startTime"] = "2026-01-01T00:00:01Z"
    told["node"]["startTime"] = "2025-01-01T00:00:00Z"
    found = readings(told)
    assert found["ns", "p", "c"].began == T0 + timedelta(seconds=1) and found[()].began is None


class Told(Meter):
    """A meter whose agents say what the test says."""

    def __init__(self) -> None:
        super().__init__(cast(Agents, None))
        self.says: dict[str, Any] = {}
        self.asked: list[str] = []

    async def _summary(self, node: str) -> Obj:
        self.asked.append(node)
        found = self.says.get(node)
        if found is None:
            raise errors.InternalError("error dialing backend", reason="")
        return cast(Obj, found)


def test_a_node_is_asked_again_soon_and_forgotten_when_it_is_silent() -> None:
    async def scenario() -> None:
        meter = Told()
        meter.says["n"] = summary(0, 0, c=0)
        assert await meter.ask(["n", "silent"]) == SOON
        assert meter.usage("n") == {} == meter.usage("silent")
        meter.says["n"] = summary(2, 4_000_000_000, c=1_000_000_000)
        assert await meter.ask(["n", "silent"]) == PERIOD
        assert meter.usage("n")[()].cpu == 2_000_000_000
        assert meter.usage("n")["ns", "p", "c"].cpu == 500_000_000
        # The same figures again are still true.
        assert await meter.ask(["n"]) == PERIOD
        assert meter.usage("n")[()].cpu == 2_000_000_000
        meter.says.clear()
        await meter.ask(["n"])
        assert meter.usage("n") == {}

    asyncio.run(scenario())


def test_a_node_that_gets_ready_is_asked_at_once() -> None:
    def node(ready: str) -> Obj:
        return {"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}

    class Nodes:
        """A registry of them."""

        def __init__(self) -> None:
            self.there: list[Obj] = []

        def subscribe(self, _kind: Any, told: Any) -> None:
            self.told = told

        def items(self, _kind: Any) -> list[Obj]:
            return self.there

    async def scenario() -> None:
        clock, meter, nodes = asyncio.get_running_loop().time, Told(), Nodes()
        running = asyncio.ensure_future(Metrics(cast(Any, nodes), meter).run())
        await asyncio.sleep(1)
        nodes.there, began = [node("False")], clock()
        nodes.told(None, node("False"))
        meter.says["n"] = summary(0, 0, c=0)
        nodes.told(node("False"), node("True"))
        await asyncio.sleep(0.1)
        assert meter.asked == ["n"]
        meter.says["n"] = summary(2, 4_000_000_000, c=1_000_000_000)
        await asyncio.sleep(SOON)
        assert meter.asked == ["n", "n"] and meter.usage("n") and clock() - began < PERIOD
        # What it says from then on is no reason to ask out of turn.
        nodes.told(node("True"), node("True"))
        await asyncio.sleep(PERIOD - 1)
        assert len(meter.asked) == 2
        await asyncio.sleep(1)
        assert len(meter.asked) == 3
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(scenario())


def pod(phase: str = "Running") -> Obj:
    meta = {"name": "p", "namespace": "ns", "labels": {"app": "x"}}
    return {"metadata": meta, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}, "status": {"phase": phase}}


def test_a_pod_is_told_of_whole_or_not_at_all() -> None:
    used = {which: Usage(T0, 15.0, 1500, 3 * MiB) for which in ("a", "b")}
    told = pod_metrics(pod(), used)
    assert told is not None
    told["metadata"].pop("creationTimestamp")
    assert told == {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "x"}},
        "timestamp": "2026-01-01T00:00:00Z",
        "window": "15.000s",
        "containers": [{"name": which, "usage": {"cpu": "1500n", "memory": "3072Ki"}} for which in ("a", "b")],
    }
    assert pod_metrics(pod(), {"a": used["a"]}) is None
    assert pod_metrics(pod("Succeeded"), used) is None


class Asked(dict[Key, Usage]):
    """What a node with many pods has told: looked up, never walked for each pod."""

    def items(self) -> Any:
        raise AssertionError("all that the node has told was walked")

    __iter__ = items


def test_a_list_of_pods_costs_what_they_are_and_knows_all_their_containers() -> None:
    figures = Asked({("ns", "p", which): Usage(T0, 15.0, 1500, MiB) for which in ("a", "b", "side")})
    figures["ns", "other", "a"] = Usage(T0, 15.0, 1, MiB)
    shown = pod()
    shown["spec"] |= {"nodeName": "n", "initContainers": [{"name": "side"}, {"name": "over"}]}

    class Known(Told):
        def usage(self, node: str) -> Mapping[Key, Usage]:
            return figures if node == "n" else {}

    catalog = builtin.catalog()
    for row in metrics.ROWS:
        catalog.add(row)
    pods = SimpleNamespace(select=lambda wanted: [SimpleNamespace(obj=shown)])
    registry = cast(Registry, SimpleNamespace(collection=lambda kind: pods, subscribe=lambda *_: None))
    request = SimpleNamespace(served=POD_METRICS, space="ns", name="", catalog=catalog, param=lambda name: "")
    answer = asyncio.run(Metrics(registry, Known()).list(cast(Request, request)))
    told = cast(Any, answer).obj["items"]
    assert [[c["name"] for c in one["containers"]] for one in told] == [["a", "b", "side"]]

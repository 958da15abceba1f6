"""Extenders over real HTTP: what is sent, what is made of the answers, and of none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from controlplane.scheduler.extenders import Extender, ExtenderSettings, ManagedResource
from controlplane.scheduler.loop import Scheduler
from tests.controlplane.scheduler.world import Api, scheduler
from tests.waiting import until

Answer = Callable[[Any], Any]
GPU = "example.com/gpu"


class Beside:
    """A program that answers as it is told, and remembers what it was asked."""

    def __init__(self, **answers: Answer) -> None:
        self.answers, self.asked = answers, list[tuple[str, Any]]()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append((request.path, body))
        return web.json_response(self.answers[request.path.rpartition("/")[2]](body))


def play(beside: Beside, scenario: Callable[[Api, Scheduler], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        app = web.Application()
        app.router.add_post("/{tail:.*}", beside.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        extender = Extender.of(ExtenderSettings(f"http://127.0.0.1:{port}/x/", **settings))
        api = Api()
        made = scheduler(api, extenders=[extender])
        running = asyncio.ensure_future(made.run())
        try:
            await scenario(api, made)
            assert not running.done()
        finally:
            running.cancel()
            await extender.close()
            await runner.cleanup()

    asyncio.run(main())


def names(body: Any) -> list[str]:
    return body["NodeNames"] or [node["metadata"]["name"] for node in body["Nodes"]["items"]]


@pytest.mark.parametrize("capable", [True, False])
def test_it_leaves_nodes_out_and_says_why(capable: bool) -> None:
    def answer(body: Any) -> Any:
        left = [name for name in names(body) if name == "b"]
        failed = {"FailedNodes": {"a": "too hot"}, "failedAndUnresolvableNodes": {"c": "too cold"}}
        if capable:
            return {"NodeNames": left, **failed}
        # As Go reads them: keys in any case.
        return {"nodes": {"items": [{"metadata": {"name": name}} for name in left]}, **failed}

    async def scenario(api: Api, made: Scheduler) -> None:
        for name in "abc":
            api.node(name)
        api.pod("p")
        await until(lambda: api.where() == {"p": "b"})
        ((path, body),) = beside.asked
        assert (path, body["Pod"]["metadata"]["name"], sorted(names(body))) == ("/x/filter", "p", ["a", "b", "c"])
        assert (body["Nodes"] is None) == capable
        api.remove_node("b")
        api.pod("q")
        await until(lambda: len(api.events) == 2)
        text = "0/2 nodes are available: 1 too cold, 1 too hot. preemption: 0/2 nodes are available: "
        assert api.events[1][2].startswith(text)
        # Nobody tells when it would answer otherwise: any change is a reason to ask again.
        api.node("b")
        await until(lambda: api.where().get("q") == "b")

    beside = Beside(filter=answer)
    play(beside, scenario, filter_verb="filter", node_cache_capable=capable)


def test_its_points_decide_among_nodes_that_fit() -> None:
    def points(body: Any) -> Any:
        return [{"Host": name, "Score": 10 if name == "c" else 0} for name in names(body)]

    async def scenario(api: Api, made: Scheduler) -> None:
        for name in "abc":
            api.node(name, "9")
        for number in range(4):
            api.pod(f"p{number}")
        await until(lambda: list(api.where().values()) == ["c"] * 4)

    play(Beside(rate=points), scenario, prioritize_verb="rate", weight=5)


def test_it_binds_where_it_is_to() -> None:
    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a")
        api.pod("p")
        await until(lambda: beside.asked)
        assert beside.asked == [
            ("/x/bind", {"PodName": "p", "PodNamespace": "default", "PodUID": "p-1", "Node": "a"}),
        ]
        assert not api.bound

    beside = Beside(bind=lambda _: {})
    play(beside, scenario, bind_verb="bind")


def test_only_pods_with_its_resources_are_its_business() -> None:
    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a")
        api.pod("plain")
        await until(lambda: api.where() == {"plain": "a"})
        assert not beside.asked

    beside = Beside(filter=lambda _: {"NodeNames": []})
    play(beside, scenario, filter_verb="filter", managed_resources=(ManagedResource(GPU),))


@pytest.mark.parametrize("ignorable", [True, False])
def test_one_that_fails_is_gone_on_without_only_where_that_is_allowed(ignorable: bool) -> None:
    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a")
        api.pod("p")
        if ignorable:
            await until(lambda: api.where() == {"p": "a"})
            return
        await until(lambda: len(api.events) == 1)
        assert api.events == [("p", "FailedScheduling", "out of order")]
        assert api.where() == {}

    beside = Beside(filter=lambda _: {"Error": "out of order"})
    play(beside, scenario, filter_verb="filter", node_cache_capable=True, ignorable=ignorable)


def test_it_has_a_word_in_who_is_evicted() -> None:
    def spare(body: Any) -> Any:
        told = body["NodeNameToMetaVictims"]["a"]["Pods"]
        return {"NodeNameToMetaVictims": {"a": {"Pods": told}} if allow else {}}

    allow: list[bool] = []

    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a", "1")
        api.pod("low")
        await until(lambda: api.where() == {"low": "a"})
        api.pod("high", priority=3)
        await until(lambda: len(api.events) == 2)
        assert api.events[1][2].endswith("preemption: no candidate node for preemption")
        assert api.deleted == []
        allow.append(True)
        api.pods["default/high"]["metadata"]["labels"] = {"tried": "again"}
        api._tell("default/high")
        await until(lambda: api.where() == {"high": "a"})

    play(Beside(preempt=spare), scenario, preempt_verb="preempt", node_cache_capable=True)


@pytest.mark.parametrize("capable", [True, False])
def test_it_is_told_every_node_where_room_can_be_made(capable: bool) -> None:
    """It takes the node that would have been harmed more, and another pod there than it was told."""

    def spare(body: Any) -> Any:
        told = body["NodeNameToMetaVictims" if capable else "NodeNameToVictims"]
        seen.append({node: len(value["Pods"]) for node, value in told.items()})
        uid = api_of[0].pods["default/second"]["metadata"]["uid"]
        return {"nodeNameToMetaVictims": {"b": {"pods": [{"uid": uid}], "numPDBViolations": 0}}}

    seen: list[Any] = []
    api_of: list[Api] = []

    async def scenario(api: Api, made: Scheduler) -> None:
        api_of.append(api)
        api.node("a", "1")
        api.pod("first", priority=1, nodeName="a")
        api.node("b", "2")
        api.pod("second", priority=2, nodeName="b")
        api.pod("third", priority=1, nodeName="b")
        api.pod("high", priority=3)
        await until(lambda: api.where().get("high") == "b")
        assert seen == [{"a": 1, "b": 1}]
        assert api.deleted == ["second"]

    play(Beside(preempt=spare), scenario, preempt_verb="preempt", node_cache_capable=capable)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"a": {"Pods": []}}, 'expected at least one victim pod on node "a"'),
        ({"a": {"Pods": [{"UID": "nobody"}]}}, "preempt pod (UID: nobody) on node: a, but the pod is not found"),
        ({"z": {"Pods": [{"UID": "nobody"}]}}, "preempt pod (UID: nobody) on node: z, but the pod is not found"),
    ],
)
def test_victims_that_cannot_be_are_its_fault(answer: Any, text: str) -> None:
    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a", "1")
        api.pod("low", nodeName="a")
        api.pod("high", priority=3)
        await until(lambda: api.events)
        assert text in api.events[0][2] and api.events[0][1] == "FailedScheduling"
        assert api.deleted == []

    play(Beside(preempt=lambda _: {"NodeNameToMetaVictims": answer}), scenario, preempt_verb="preempt")


def test_a_node_that_fills_up_while_it_thinks_is_not_taken() -> None:
    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a", "1")
        api.node("b", "1")

        def slow(body: Any) -> Any:
            # While it is asked about p, somebody else's binding to the one node that it will leave is seen.
            if len(beside.asked) == 1:
                api.pod("other", nodeName="a", schedulerName="somebody")
            return {"NodeNames": [name for name in names(body) if name == "a"]}

        beside.answers["filter"] = slow
        api.pod("p")
        await until(lambda: api.events)
        assert api.where() == {"other": "a"}
        api.remove_pod("other")
        await until(lambda: api.where() == {"p": "a"})

    beside = Beside()
    play(beside, scenario, filter_verb="filter", node_cache_capable=True)

"""From the queue to the binding, with whatever breaks on the way: nothing is lost, and nothing is booked twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.kinds import POD_DISRUPTION_BUDGET
from controlplane.scheduler.framework import Plugin, Profile, Refused, everywhere
from controlplane.scheduler.loop import Scheduler
from controlplane.scheduler.plugins import default_profile
from tests import clock
from tests.controlplane.scheduler.world import Api, scheduler, until


def play(scenario: Callable[[Api, Scheduler], Awaitable[None]], *plugins: Plugin) -> None:
    async def main() -> None:
        api = Api()
        profile = default_profile()
        if plugins:
            profile = Profile(profile.name, everywhere((*profile.plugins.values(), *plugins)))
        made = scheduler(api, {profile.name: profile})
        running = asyncio.ensure_future(made.run())
        try:
            await scenario(api, made)
            assert not running.done()
        finally:
            running.cancel()

    clock.run(main())


NAMES = ("p1", "p2", "p3", "p4")
NODES = ("a", "b")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pod"), st.sampled_from(NAMES), st.integers(0, 2)),
        st.tuples(st.just("gone"), st.sampled_from(NAMES), st.just(0)),
        st.tuples(st.sampled_from(("node", "no node")), st.sampled_from(NODES), st.just(0)),
        st.tuples(st.just("answer"), st.sampled_from(("ok", "refused", "lost", "silent", "ended")), st.just(0)),
        st.tuples(st.sampled_from(("down", "up", "wait", "turn")), st.just(""), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_never_overbooked_and_never_two_bindings(steps: list[tuple[str, str, int]]) -> None:
    async def scenario(api: Api, made: Scheduler) -> None:
        for what, name, priority in steps:
            _do(api, what, name, priority)
            await asyncio.sleep({"wait": 3.0, "turn": 0.0}.get(what, 0.001))
        # Once all is well again, whatever fits is bound.
        api.answers.clear()
        api.up.set()
        for name in NODES:
            api.node(name, "4")
        await until(lambda: len(api.where()) == len(api.pods))
        await asyncio.sleep(1.0)
        assert all(count == 1 for count in api.bound.values())
        assert len(made.queue) == 0
        # What the scheduler counts is what there is.
        counted = {uid: n for n, info in made.cluster.nodes.items() for uid in info.pods}
        assert counted == {p["metadata"]["uid"]: p["spec"]["nodeName"] for p in api.pods.values()}

    play(scenario)


def _do(api: Api, what: str, name: str, priority: int) -> None:
    if what == "pod":
        api.remove_pod(name)
        api.pod(name, priority=priority)
    elif what == "gone":
        api.remove_pod(name)
    elif what == "node":
        api.node(name)
    elif what == "no node":
        api.remove_node(name)
    elif what == "answer":
        api.answers.append(name)
    elif what == "down":
        api.up.clear()
    elif what == "up":
        api.up.set()


def test_a_binding_without_an_answer_keeps_its_room_until_it_is_known() -> None:
    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a", "1")
        api.answers.append("ended")
        api.pod("first")
        await asyncio.sleep(0.01)
        api.pod("second")
        await asyncio.sleep(30)
        assert made.cluster.is_assumed("first-1")
        api.up.set()
        await until(lambda: len(api.where()) == 1)

    play(scenario)


def test_a_pod_of_higher_priority_takes_the_room_and_nobody_else_gets_it() -> None:
    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a", "1")
        api.pod("low", priority=1)
        await until(lambda: "low" in api.where())
        api.pod("high", priority=5)
        await asyncio.sleep(0)
        api.pod("between", priority=3)
        await until(lambda: api.where().get("high") == "a")
        assert api.deleted == ["low"]
        assert "between" not in api.where()
        said = [event for event in api.events if event[1] == "Preempted"]
        assert said == [("low", "Preempted", "Preempted by pod high-2 on node a")]
        conditions = {c["type"]: c["status"] for c in api.pods["default/high"]["status"]["conditions"]}
        assert conditions["PodScheduled"] == "False"
        assert api.pods["default/high"]["status"]["nominatedNodeName"] == "a"

    play(scenario)


def test_nobody_more_has_to_go_while_the_first_ones_are_told() -> None:
    """Deletions that take long, and a node that comes meanwhile on which others could be removed."""

    async def scenario(api: Api, made: Scheduler) -> None:
        whole = api.delete

        async def slow(kind: Any, name: str, namespace: str, uid: str) -> None:
            await asyncio.sleep(5.0 * int(name[1]))
            await whole(kind, name, namespace, uid)

        api.delete = slow  # type: ignore[method-assign]
        api.node("a", "2")
        for name in ("a1", "a2"):
            api.pod(name, priority=1, nodeName="a")
        api.pod("high", "2", priority=3)
        await asyncio.sleep(1.0)
        for name in ("b1", "b2"):
            api.pod(name, nodeName="b")
        api.node("b", "2")
        await until(lambda: api.where().get("high") == "a")
        assert api.deleted == ["a1", "a2"]

    play(scenario)


def test_budgets_are_kept_where_there_is_a_choice() -> None:
    async def scenario(api: Api, made: Scheduler) -> None:
        for name in ("a", "b"):
            api.node(name, "1", home=name)
            api.pod(f"low-{name}", nodeSelector={"home": name})
        await until(lambda: len(api.where()) == 2)
        for name, allowed in (("a", 0), ("b", 1)):
            api.pods[f"default/low-{name}"]["metadata"]["labels"] = {"app": name}
            api._tell(f"default/low-{name}")
            spec = {"selector": {"matchLabels": {"app": name}}}
            status = {"disruptionsAllowed": allowed}
            meta = {"name": name, "namespace": "default"}
            api.put(POD_DISRUPTION_BUDGET, {"metadata": meta, "spec": spec, "status": status})
        api.pod("high", priority=5)
        await until(lambda: "high" in api.where())
        assert api.deleted == ["low-b"]

    play(scenario)


def test_room_that_cannot_be_made_is_not_waited_for() -> None:
    """The victim cannot be deleted while the server is away; the pod is tried again all the same."""

    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a", "1")
        api.pod("low")
        await until(lambda: "low" in api.where())
        api.up.clear()
        api.pod("high", priority=5)
        await asyncio.sleep(5)
        assert api.deleted == []
        api.up.set()
        await until(lambda: api.where().get("high") == "a", 30)

    play(scenario)


def test_why_a_pod_has_no_node_is_told_once_for_each_attempt() -> None:
    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a", "1")
        api.pod("big", "3")
        await asyncio.sleep(20)
        text = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
        text += "1 Preemption is not helpful for scheduling."
        assert api.events == [("big", "FailedScheduling", text)]
        (condition,) = api.pods["default/big"]["status"]["conditions"]
        assert (condition["reason"], condition["message"]) == ("Unschedulable", text)
        api.node("b", "4")
        await until(lambda: api.where().get("big") == "b")
        assert api.events[-1] == ("big", "Scheduled", "Successfully assigned default/big to b")

    play(scenario)


class Steps(Plugin):
    """Takes part after the decision, and breaks where it is told to."""

    name = "Steps"

    def __init__(self, breaks: str = "", error: type[Exception] = Refused) -> None:
        self.breaks, self.error, self.seen = breaks, error, list[str]()

    def _step(self, name: str) -> None:
        self.seen.append(name)
        if self.breaks == name:
            self.breaks = ""
            raise self.error(f"{name} broke")

    def reserve(self, pod: Any, info: Any) -> None:
        self._step("reserve")

    def unreserve(self, pod: Any, node: str) -> None:
        self.seen.append("unreserve")

    async def permit(self, pod: Any, node: str) -> None:
        await asyncio.sleep(1)
        self._step("permit")

    async def pre_bind(self, client: Any, pod: Any, node: str) -> None:
        self._step("pre_bind")

    def post_bind(self, pod: Any, node: str) -> None:
        self.seen.append("post_bind")


ALL = ["reserve", "permit", "pre_bind", "post_bind"]
BROKEN = {
    "reserve": (["reserve", "unreserve", *ALL], "SchedulerError", "reserve broke"),
    "permit": (["reserve", "permit", "unreserve", *ALL], "Unschedulable", "permit broke"),
    "pre_bind": (
        ["reserve", "permit", "pre_bind", "unreserve", *ALL],
        "SchedulerError",
        'running PreBind plugin "Steps": pre_bind broke',
    ),
    "": (ALL, "", ""),
}


def test_a_pod_whose_reservation_failed_in_an_unforeseen_way_is_tried_again() -> None:
    plugin = Steps("reserve", RuntimeError)

    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a", "1")
        api.pod("p")
        await until(lambda: plugin.seen == ["reserve", "unreserve", *ALL])

    play(scenario, plugin)


@pytest.mark.parametrize("breaks", BROKEN)
def test_every_step_is_undone_when_a_later_one_breaks(breaks: str) -> None:
    seen, reason, message = BROKEN[breaks]
    plugin = Steps(breaks)

    async def scenario(api: Api, made: Scheduler) -> None:
        api.node("a", "1")
        api.pod("p")
        await until(lambda: plugin.seen == seen)
        assert api.where() == {"p": "a"}
        said = (api.pods["default/p"].get("status") or {}).get("conditions", ())
        assert [(c["reason"], c["message"]) for c in said] == ([(reason, message)] if reason else [])

    play(scenario, plugin)

"""Choosing by groups of nodes that are alike comes to what looking at each node comes to, whatever happened before."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.selectors import from_label_selector
from controlplane.scheduler import extract
from controlplane.scheduler.board import Boards
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.cycle import decide, find, score
from controlplane.scheduler.framework import Profile, Query
from controlplane.scheduler.surroundings import Workloads
from tests.controlplane.scheduler.build import PROFILE, cluster, node, pod

ZONE, HOST, RACK = "topology.kubernetes.io/zone", "kubernetes.io/hostname", "rack"
WEB = {"matchLabels": {"app": "web"}}
EVERY = replace(PROFILE, percentage=100)
"""Compares all nodes that fit."""


class _Web(Workloads):
    def selector_of(self, pod: extract.Pod) -> Any:
        return from_label_selector(WEB) if pod.labels.get("app") == "web" else None


keys = st.sampled_from([ZONE, HOST, RACK])
spreads: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda key, skew, hard: {
        "maxSkew": skew,
        "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        "labelSelector": WEB,
    },
    keys,
    st.integers(1, 2),
    st.booleans(),
)
terms: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda key, app: {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}},
    keys,
    st.sampled_from(["web", "db"]),
)


def _affinity(required: list[Any], preferred: list[Any]) -> dict[str, Any]:
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": required,
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 7 * (number + 1), "podAffinityTerm": term} for number, term in enumerate(preferred)
        ],
    }


some = st.lists(terms, max_size=1)
specs = st.fixed_dictionaries(
    {},
    optional={
        "topologySpreadConstraints": st.lists(spreads, min_size=1, max_size=2),
        "affinity": st.builds(
            lambda near, away: {"podAffinity": near, "podAntiAffinity": away},
            st.builds(_affinity, some, some),
            st.builds(_affinity, some, some),
        ),
        "containers": st.just([{"name": "c", "image": "here"}]),
    },
)
nodes = st.builds(
    lambda zone, host, rack, image: (
        {k: v for k, v in ((ZONE, zone), (HOST, host), (RACK, rack)) if v is not None},
        [{"names": ["here:latest"], "sizeBytes": image * 2**20}] if image else [],
    ),
    st.sampled_from(["a", "a", "b", "b", "c", None]),
    st.sampled_from([*["own"] * 6, "twin", None]),
    st.sampled_from(["own", "r", "s", "r", None]),
    st.sampled_from([0, 0, 400, 900]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("pod"), st.integers(0, 1), st.sampled_from(["web", "web", "db"])),
        st.tuples(st.just("pod"), st.integers(0, 1), st.just("web")),
        st.tuples(st.just("gone"), st.integers(0, 30), st.just("")),
        st.tuples(st.just("node"), st.integers(0, 7), st.just("")),
    ),
    min_size=12,
    max_size=40,
)


def _node(number: int, labels: dict[str, str], images: list[Any]) -> extract.Node:
    name = f"n{number}"
    own = {key: name if value == "own" else value for key, value in labels.items()}
    made = node(name, cpu="1", pods="5")
    return replace(made, labels=own, images={n: i["sizeBytes"] for i in images for n in i["names"]})


def _best(asking: extract.Pod, query: Query, profile: Profile) -> set[str]:
    """The best nodes, by a look at each; the number picks among them."""
    found = find(asking, profile, query, Boards())
    if not found.fits:
        return set()
    totals = score(asking, profile, query, found.fits, found.board)
    return {v.info.node.name for v, total in zip(found.fits, totals, strict=True) if total == max(totals)}


def _go(state: Cluster, query: Query, boards: Boards, asking: extract.Pod, tie: int) -> bool:
    """Decide and place; whether groups decided, and then each of the best nodes has a number that picks it."""
    best = _best(asking, query, EVERY) or {""}
    decisions = [decide(asking, EVERY, query, boards, number) for number in range(len(best))]
    named = {decision.node for decision in decisions}
    by_groups = decisions[0].node and not decisions[0].fits
    assert named == best if by_groups else named <= best
    if decisions[0].node:
        state.assume(asking, decisions[tie % len(best)].node)
    return bool(by_groups)


@settings(deadline=None, max_examples=50)
@given(st.lists(nodes, min_size=4, max_size=8), st.lists(specs, min_size=2, max_size=2), steps)
def test_groups_choose_as_a_look_at_each_node_does(made: list[Any], kinds: list[Any], history: list[Any]) -> None:
    state = cluster(*(_node(number, *each) for number, each in enumerate(made)))
    query, boards = Query(state, _Web()), Boards()
    there: list[str] = []
    for number, (what, which, app) in enumerate(history):
        if what == "pod":
            asking = pod(f"p{number}", {"cpu": "100m"}, {"app": app}, **kinds[which])
            _go(state, query, boards, asking, number * 7)
            there.append(asking.uid)
        elif what == "gone" and there:
            state.remove(there.pop(which % len(there)))
        elif what == "node":
            # It changes what pods choose it by.
            labels, images = made[(which + number) % len(made)]
            state.set_node(_node(which % len(made), labels, images))


def _by_groups(state: Cluster, query: Query, boards: Boards, asking: extract.Pod) -> bool:
    """Decide and place; whether groups decided."""
    decision = decide(asking, EVERY, query, boards)
    state.assume(asking, decision.node)
    return not decision.fits


def test_groups_decide_whatever_is_asked_twice() -> None:
    """None of these looks at each node any more; the first of a kind does."""
    hard = {"maxSkew": 5, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": WEB}
    near, away = ([{"topologyKey": key, "labelSelector": WEB}] for key in (ZONE, HOST))
    for spec in (
        {"topologySpreadConstraints": [hard]},
        {"affinity": {"podAffinity": _affinity(near, [])}},
        {"affinity": {"podAntiAffinity": _affinity(away, [])}},
        {},
    ):
        state = cluster(*(node(f"n{i}", labels={ZONE: f"zone-{i % 3}"}) for i in range(30)))
        query, boards = Query(state, _Web()), Boards()
        pods = [pod(f"p{i}", labels={"app": "web"}, **spec) for i in range(20)]
        # The first pod's terms make the question another one.
        assert all([_by_groups(state, query, boards, each) for each in pods][3:]), spec


def test_a_question_that_nobody_asks_any_more_keeps_no_node_as_it_was() -> None:
    state = cluster(*(node(f"n{i}", labels={ZONE: f"zone-{i}"}) for i in range(3)))
    query, boards = Query(state), Boards()
    hard = {"maxSkew": 5, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": WEB}
    for number in range(3):
        asked = _by_groups(state, query, boards, pod(f"web{number}", topologySpreadConstraints=[hard]))
    assert asked
    # Others, of the same sign, go on coming.
    before = [weakref.ref(info) for info in state.nodes.values()]
    for number, name in enumerate(state.nodes):
        state.assume(pod(f"other{number}"), name)
    _by_groups(state, query, boards, pod("last"))
    gc.collect()
    assert [info() for info in before] == [None] * 3


def test_pods_of_many_workloads_leave_the_groups_that_pay() -> None:
    """Questions that come in turn do not drive each other out, each being worked out anew."""
    state = cluster(*(node(f"n{i}", labels={ZONE: f"zone-{i % 3}"}) for i in range(12)))
    query, boards = Query(state), Boards()

    def asking(number: int, app: int) -> extract.Pod:
        constraint = {"maxSkew": 5, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}
        rack = {**constraint, "topologyKey": f"rack-{app}", "whenUnsatisfiable": "ScheduleAnyway"}
        constraints = [{**each, "labelSelector": WEB} for each in (constraint, rack)]
        return pod(f"p{number}", labels={"app": "web"}, topologySpreadConstraints=constraints)

    numbers = [(turn * 20 + app, app) for turn in range(4) for app in range(20)]
    turns = [_by_groups(state, query, boards, asking(*each)) for each in numbers]
    assert sum(turns[20:40]) == sum(turns[40:60]) == sum(turns[60:]) == 8

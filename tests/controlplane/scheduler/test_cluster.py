"""Counting is only right when it equals counting again from scratch, whatever happened."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.selectors import from_map
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.extract import Pod
from tests.controlplane.scheduler.build import node, pod

NODES = ("a", "b", "c")
PODS = [pod(f"p{i}", {"cpu": f"{i}00m"}, {"app": "web" if i % 2 else "db"}) for i in range(6)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("place", "assume", "remove", "node", "gone", "deleting")),
        st.sampled_from(PODS),
        st.sampled_from(NODES),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(STEPS)
def test_incremental_equals_rebuilt(steps: list[tuple[str, Pod, str]]) -> None:
    state = Cluster()
    where: dict[str, Pod] = {}
    nodes: set[str] = set()
    for step, chosen, name in steps:
        if step == "node":
            state.set_node(node(name))
            nodes.add(name)
        elif step == "gone":
            state.remove_node(name)
            nodes.discard(name)
        elif step == "remove":
            state.remove(chosen.uid)
            where.pop(chosen.uid, None)
        elif step == "assume":
            if chosen.uid not in where:
                state.assume(chosen, name)
                where[chosen.uid] = replace(chosen, node_name=name)
        else:
            where[chosen.uid] = replace(chosen, node_name=name, deleting=step == "deleting")
            state.place(where[chosen.uid])
    fresh = Cluster()
    for name in nodes:
        fresh.set_node(node(name))
    for placed in where.values():
        fresh.place(placed)
    assert {n: (i.pods, i.requested, i.scored) for n, i in state.nodes.items()} == {
        n: (i.pods, i.requested, i.scored) for n, i in fresh.nodes.items()
    }
    web = from_map({"app": "web"})
    assert state.matching_selector("default", web) == fresh.matching_selector("default", web)

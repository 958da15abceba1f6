"""Counting is only right when it equals counting again from scratch, whatever happened."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.extract import Node, Pod
from tests.controlplane.scheduler.build import node, pod

NODES = ("a", "b", "c")
WEB = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}
AWAY = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [WEB]}}
PODS = [
    pod(f"p{i}", {"cpu": f"{i}00m"}, {"app": "web" if i % 2 else "db"}, **({"affinity": AWAY} if i > 3 else {}))
    for i in range(6)
]
ASKING = pod("asking", labels={"app": "web"}, affinity=AWAY)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("place", "assume", "remove", "node", "moved", "gone", "deleting", "asked")),
        st.sampled_from(PODS),
        st.sampled_from(NODES),
    ),
    max_size=40,
)


def answers(state: Cluster) -> tuple[object, ...]:
    """What plugins ask; each is counted up from the first time on."""
    (term,) = ASKING.affinity.anti_required
    near = state.matching_term(term)
    zones = {name: info.node.labels["zone"] for name, info in state.nodes.items()}
    domains = near.domains("zone", state.epoch, lambda: zones)
    going = state.tally("web alone", lambda _, labels: labels.get("app") == "web", deleting=False)
    about = [(kept.term, kept.tally.nodes) for kept in state.terms_about(ASKING)[0]]
    return near.nodes, domains.counts, domains.lowest(), domains.total, going.nodes, about


@settings(max_examples=200)
@given(STEPS)
def test_incremental_equals_rebuilt(steps: list[tuple[str, Pod, str]]) -> None:
    state = Cluster()
    where: dict[str, Pod] = {}
    nodes: dict[str, Node] = {}
    for step, chosen, name in steps:
        if step in ("node", "moved"):
            nodes[name] = node(name, labels={"zone": "z" if step == "node" else "y"})
            state.set_node(nodes[name])
        elif step == "asked":
            answers(state)
        elif step == "gone":
            state.remove_node(name)
            nodes.pop(name, None)
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
    for each in nodes.values():
        fresh.set_node(each)
    for placed in where.values():
        fresh.place(placed)
    assert {n: (i.pods, i.requested, i.scored) for n, i in state.nodes.items()} == {
        n: (i.pods, i.requested, i.scored) for n, i in fresh.nodes.items()
    }
    assert answers(state) == answers(fresh)

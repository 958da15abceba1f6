"""What becomes of an object when its owners go, and that nothing survives the last of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.kinds import POD
from controlplane.controllers.garbage.graph import Graph, Item, Owner, bare, item_of
from controlplane.controllers.garbage.judge import State, Verdict, judge
from tests.controlplane.controllers.build import pod


def owner(uid: str, blocking: bool = True) -> Owner:
    return Owner("v1", "Pod", uid, uid, blocking)


def item(uid: str, *owners: str, deleting: bool = False, finalizers: tuple[str, ...] = ()) -> Item:
    return Item(POD, "default", uid, uid, tuple(map(owner, owners)), deleting, frozenset(finalizers))


WAITING_CHILD = item("child", "x", deleting=True, finalizers=("foregroundDeletion",))


@pytest.mark.parametrize(
    ("states", "finalizers", "dependents", "verdict"),
    [
        ((), (), (), Verdict()),
        ((State.SOLID,), (), (), Verdict()),
        ((State.ABSENT,), (), (), Verdict(delete="Background")),
        ((State.SOLID, State.ABSENT), (), (), Verdict(drop=("o1",))),
        ((State.WAITING, State.SOLID), (), (), Verdict(drop=("o0",))),
        ((State.WAITING,), (), (), Verdict(delete="Background")),
        ((State.WAITING,), (), (item("child", "x"),), Verdict(delete="Foreground")),
        ((State.WAITING,), (), (WAITING_CHILD,), Verdict(delete="Foreground", unblock=True)),
        ((State.ABSENT,), ("orphan",), (), Verdict(delete="Orphan")),
        ((State.ABSENT,), ("foregroundDeletion",), (), Verdict(delete="Foreground")),
    ],
)
def test_verdicts(
    states: tuple[State, ...], finalizers: tuple[str, ...], dependents: tuple[Item, ...], verdict: Verdict
) -> None:
    owners = [(owner(f"o{i}"), state) for i, state in enumerate(states)]
    assert judge(item("x", finalizers=finalizers), owners, dependents) == verdict


REFERENCES = st.lists(st.lists(st.integers(0, 9), max_size=3, unique=True), min_size=10, max_size=10)


@settings(max_examples=150)
@given(REFERENCES, st.sets(st.integers(0, 9), min_size=1))
def test_no_orphan_survives(references: list[list[int]], deleted: set[int]) -> None:
    """Delete some; follow the graph as the loop does; whoever had only owners that went, goes."""
    graph = Graph()
    for number, owners in enumerate(references):
        graph.put(item(str(number), *(str(o) for o in owners if o < number)))
    queue = []
    for number in sorted(deleted):
        graph.drop(str(number))
        queue += graph.owned_by(str(number))
    while queue:
        known = graph.items.get(queue.pop().uid)
        if known is None:
            continue
        states = [(o, State.SOLID if o.uid in graph.items else State.ABSENT) for o in known.owners]
        verdict = judge(known, states, graph.owned_by(known.uid))
        if verdict.drop:
            kept = tuple(o for o in known.owners if o.uid not in verdict.drop)
            graph.put(Item(POD, "default", known.name, known.uid, kept))
        elif verdict.delete:
            graph.drop(known.uid)
            queue += graph.owned_by(known.uid)
    alive = {n for n in range(10) if n not in deleted}
    for number in range(10):
        owners = [o for o in references[number] if o < number]
        if owners and not any(o in alive for o in owners):
            alive.discard(number)
    assert {int(uid) for uid in graph.items} == alive
    assert all(o.uid in graph.items for i in graph.items.values() for o in i.owners)


def test_what_is_kept_of_an_object() -> None:
    obj = pod("p")
    obj["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "o", "blockOwnerDeletion": True}
    ]
    obj["metadata"]["finalizers"] = ["orphan"]
    assert (
        item_of(POD, bare(obj))
        == item_of(POD, obj)
        == Item(POD, "default", "p", "uid-p", (owner("o"),), False, frozenset(("orphan",)))
    )

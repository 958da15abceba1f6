"""Who may take a lease and what is written then."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apimachinery.objects import Obj
from controlplane.election import Move, judge, renewed
from tests.controlplane.controllers.build import T0


def lease(holder: str) -> Obj:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "x", "leaseTransitions": 3}
    return {"metadata": {"name": "l"}, "spec": spec}


@pytest.mark.parametrize(
    ("held", "age", "move"),
    [
        (None, 0, Move.CREATE),
        (lease("me"), 100, Move.RENEW),
        (lease("you"), 14, Move.WAIT),
        (lease("you"), 15, Move.TAKE),
        (lease(""), 0, Move.TAKE),
    ],
)
def test_moves(held: Obj | None, age: float, move: Move) -> None:
    assert judge(held, "me", age) is move


def test_a_change_of_holder_is_a_transition_and_a_renewal_is_none() -> None:
    taken = renewed(lease("you"), "me", 15, T0)["spec"]
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("me", 4)
    assert taken["acquireTime"] == taken["renewTime"] == "2026-01-01T00:00:00.000000Z"
    again = renewed({"metadata": {}, "spec": taken}, "me", 15, T0 + timedelta(seconds=2))["spec"]
    assert (again["leaseTransitions"], again["acquireTime"]) == (4, taken["acquireTime"])
    assert again["renewTime"] == "2026-01-01T00:00:02.000000Z"
    first = renewed({"metadata": {}}, "me", 15, T0)["spec"]
    assert first["leaseTransitions"] == 0

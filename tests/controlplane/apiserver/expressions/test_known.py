"""What is known of a policy's variables at each place of their list."""

from __future__ import annotations

import tracemalloc

from apimachinery.cel.types.kinds import DYN, INT, STRING
from controlplane.apiserver.admission.policies.definitions import compile_policy
from controlplane.apiserver.expressions.known import NOTHING


def test_a_place_knows_what_stands_before_it_and_nothing_else() -> None:
    first = NOTHING.followed("a", INT)
    second = first.followed("b", STRING)
    again = second.followed("a", DYN)
    assert not NOTHING and first and NOTHING.get("a") is None
    assert (first.get("a"), first.get("b")) == (INT, None)
    assert (second.get("a"), second.get("b")) == (INT, STRING)
    assert (again.get("a"), again.get("b")) == (DYN, STRING)
    # Another list that begins alike knows nothing of how this one goes on.
    other = first.followed("c", DYN)
    assert (other.get("a"), other.get("b"), other.get("c"), second.get("c")) == (INT, None, DYN, None)
    assert NOTHING.followed("z", DYN).get("a") is None


def test_the_same_way_leads_to_the_same_place() -> None:
    known = NOTHING.followed("a", INT).followed("b", STRING)
    assert NOTHING.followed("a", INT).followed("b", STRING) is known
    assert NOTHING.followed("a", INT).followed("b", INT) is not known


def test_a_policy_s_variables_take_memory_in_proportion() -> None:
    def taken(count: int) -> int:
        variables = [{"name": f"v{count}_{number}", "expression": "1"} for number in range(count)]
        tracemalloc.start()
        try:
            policy = compile_policy({"metadata": {"name": "p"}, "spec": {"variables": variables}})
            assert len(policy.variables) == count
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    taken(2)
    small = taken(100)
    assert taken(300) < 4.5 * small

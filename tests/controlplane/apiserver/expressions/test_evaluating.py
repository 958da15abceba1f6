"""What the expressions of one policy may do together."""

from __future__ import annotations

from functools import reduce

import pytest

from apimachinery.cel.evaluation.budget import Unfinished
from apimachinery.cel.types.kinds import DYN
from controlplane.apiserver.expressions.compiling import ANYTHING, Scope
from controlplane.apiserver.expressions.evaluating import POLICY_COST, Failed, Naming, Purse, value
from controlplane.apiserver.expressions.known import NOTHING

ROUNDS = "lists.range(700).all(i, i >= 0)"


def test_what_is_done_at_once_is_bounded_for_all_expressions_together() -> None:
    purse = Purse(POLICY_COST, at_once=True)
    assert value(ROUNDS, Scope(), ANYTHING, {}, purse) is True
    with pytest.raises(Unfinished):
        value(ROUNDS, Scope(), ANYTHING, {}, purse)
    beside = Purse(POLICY_COST, at_once=False)
    assert [value(ROUNDS, Scope(), ANYTHING, {}, beside) for _ in range(20)] == [True] * 20


def test_variables_keep_no_more_than_they_may_copy_together() -> None:
    # Each is a list of some millions; what it costs is next to nothing.
    large = "optional.of(lists.range(1000))" + ".optMap(l, l + l)" * 11 + ".value()"
    names = [f"v{number}" for number in range(12)]
    scope = Scope(variables=NOTHING)
    naming = Naming({}, {name: (large, scope) for name in names})
    purse = Purse(POLICY_COST, at_once=False)
    known = naming.within(purse)
    asked = Scope(variables=reduce(lambda known, name: known.followed(name, DYN), names, NOTHING))
    for name in names[:4]:
        assert value(f"size(variables.{name})", asked, ANYTHING, known, purse) == 2_048_000
    with pytest.raises(Failed, match="actual cost limit exceeded"):
        for name in names[4:]:
            value(f"size(variables.{name})", asked, ANYTHING, known, purse)

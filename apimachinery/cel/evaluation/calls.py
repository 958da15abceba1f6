"""Calls of functions: which of its overloads is meant is told by the values. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.cel.evaluation.budget import Activation
from apimachinery.cel.syntax.nodes import Call
from apimachinery.cel.types.kinds import Overload
from apimachinery.cel.values.faults import EvaluationError, no_overload
from apimachinery.cel.values.kinds import fits, type_name, value_type

Step = Callable[[Activation], Any]
# What upstream implements once for all types, which it does not name.
_UNNAMED = frozenset(("!_", "-_", "@in", "contains", "endsWith", "matches", "startsWith"))
_UNORDERED = (list, dict, type(None))
_OPERATORS = frozenset(f"_{sign}_" for sign in ("+", "-", "*", "/", "%", "<", "<=", ">", ">="))


def planned_call(node: Call, steps: list[Step]) -> Step:
    """A call with the arguments that these steps make."""
    overloads, name = node.overloads, node.function

    def called(activation: Activation) -> Any:
        args = tuple([step(activation) for step in steps])
        for overload in overloads:
            if all(map(fits, args, overload.args)):
                return _run(overload, args, activation)
        raise _no_overload(name, args)

    return called


def _no_overload(name: str, args: tuple[Any, ...]) -> EvaluationError:
    if name in _UNNAMED or (name in _OPERATORS and not (name[1] in "<>" and isinstance(args[0], _UNORDERED))):
        return no_overload()
    if name in _OPERATORS or name == "size":
        return no_overload(name)
    return no_overload(f"{name}({', '.join(type_name(value_type(each)) for each in args)})")


def _run(overload: Overload, args: tuple[Any, ...], activation: Activation) -> Any:
    budget = activation.budget
    given = (budget.work, *args) if overload.counts else args
    if overload.needs_budget:
        assert overload.cost is not None
        budget.spend(overload.cost(args, None))
        return overload.run(*given)
    try:
        value = overload.run(*given)
    except EvaluationError:
        budget.spend(1)
        raise
    if isinstance(value, list | str):
        # Most functions cost by what they are given; what they make is bounded, too.
        budget.work(len(value))
    budget.spend(1 if overload.cost is None else overload.cost(args, value))
    return value

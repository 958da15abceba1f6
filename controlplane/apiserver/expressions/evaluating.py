"""Expressions about one request, evaluated: within its budget, and not on the event loop where that takes long.

An evaluation that is not through after some milliseconds, or that has to ask the authorizer, is left and begun once
more: beside the loop, or with the answer. Expressions have no effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from apimachinery.cel import door
from apimachinery.cel.evaluation.budget import MOST_WORK, PER_CALL, PER_REQUEST, Unfinished
from apimachinery.cel.libraries.authorizer import Answers, Decision, Question, Unanswered
from apimachinery.cel.types.kinds import Type
from apimachinery.cel.values.kinds import Lazy, value_type
from controlplane.apiserver.expressions.compiling import Scope, Unfit, compiled
from controlplane.apiserver.offloop import beside_loop

T = TypeVar("T")
# What the expressions of one policy may cost, with one of its parameters.
POLICY_COST = PER_REQUEST
# What all conditions of one webhook or policy may cost.
CONDITIONS_COST = PER_REQUEST // 4
# What the expressions of one purse may cost on the loop: some milliseconds of it.
_AT_ONCE = 5_000
# What they may do beside their cost: what variables keep in memory is bounded by it, too.
_WORK = 4 * MOST_WORK
_OUT = "validation failed due to running out of cost budget, no further validation rules will be run"


class Failed(Exception):
    """An expression has no value; the text is upstream's."""


class OutOfBudget(Exception):
    """The expressions of a request would cost more than they may; the text is upstream's."""


@dataclass
class Purse:
    """What the expressions of one policy may still cost; at_once: all of them together may not take long."""

    left: int
    at_once: bool
    _quick: int = _AT_ONCE
    _work: int = _WORK

    def budget(self) -> door.Budget:
        """For one expression."""
        return door.Budget(PER_CALL, self._quick if self.at_once else None, min(MOST_WORK, self._work))

    def pay(self, budget: door.Budget) -> None:
        """Raises OutOfBudget."""
        self._quick -= budget.spent
        self._work -= budget.worked
        if budget.spent > self.left:
            raise OutOfBudget(_OUT)
        self.left -= budget.spent


class Variables(Lazy):
    """A policy's own variables: each is worked out when it is first asked for."""

    def __init__(self, expressions: Mapping[str, tuple[str, Scope]], names: dict[str, Any], purse: Purse) -> None:
        self._expressions = expressions
        self._names = names
        self._purse = purse
        self._known: dict[str, Any] = {}

    def field(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._value(name)
        value = self._known[name]
        if isinstance(value, door.EvaluationError):
            raise value
        return value

    def _value(self, name: str) -> Any:
        if name not in self._expressions:
            return door.EvaluationError(f"no such key: {name}")
        expression, scope = self._expressions[name]
        budget = self._purse.budget()
        try:
            return compiled(expression, scope).evaluate(self._names, budget)
        except Unfit as error:
            return door.EvaluationError(f'composited variable "{name}" fails to compile: {error}')
        except (door.EvaluationError, door.CostExceeded) as error:
            return door.EvaluationError(f'composited variable "{name}" fails to evaluate: {error}')
        finally:
            self._purse.pay(budget)


@dataclass(frozen=True)
class Naming:
    """What expressions of one request can name: values by name, and the policy's variables with their scopes."""

    names: Mapping[str, Any]
    variables: Mapping[str, tuple[str, Scope]] = field(default_factory=dict)

    def within(self, purse: Purse) -> dict[str, Any]:
        names = dict(self.names)
        names["variables"] = Variables(self.variables, names, purse)
        return names

    def with_values(self, **values: Any) -> Naming:
        return Naming({**self.names, **values}, self.variables)

    def without(self, *left_out: str) -> Naming:
        return Naming({name: value for name, value in self.names.items() if name not in left_out}, self.variables)


def value(expression: str, scope: Scope, wanted: tuple[Type, ...], names: dict[str, Any], purse: Purse) -> Any:
    """What an expression is worth. Raises Failed and OutOfBudget."""
    budget = purse.budget()
    try:
        return compiled(expression, scope, wanted).evaluate(names, budget)
    except Unfit as error:
        raise Failed(f"compilation error: {error}") from error
    except (door.EvaluationError, door.CostExceeded) as error:
        raise Failed(f"expression '{expression}' resulted in error: {error}") from error
    finally:
        purse.pay(budget)


async def evaluated(work: Callable[[Purse], T], cost: int, answers: Answers, ask: Callable[[Question], Decision]) -> T:
    """What a piece of work with expressions comes to, which is done within a purse of that much, as often as needed.

    answers: what its authorizer is built on; ask: who knows the answers, on the loop.
    """
    at_once = True
    while True:
        try:
            purse = Purse(cost, at_once)
            return work(purse) if at_once else await beside_loop(work, purse)
        except Unfinished:
            at_once = False
        except Unanswered as missing:
            answers.known[missing.question] = ask(missing.question)


def type_name(given: Any) -> str:
    """What messages call the type of a value."""
    found = value_type(given)
    return "null_type" if found.kind == "null" else found.name or found.kind

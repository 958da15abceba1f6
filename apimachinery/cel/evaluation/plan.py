"""A checked tree becomes a function of an activation: what is known beforehand is worked out once. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.cel.evaluation.budget import Activation
from apimachinery.cel.evaluation.calls import planned_call
from apimachinery.cel.evaluation.folds import planned_fold, planned_gathering
from apimachinery.cel.evaluation.selecting import absent_is_none, has, index, optional_field, select
from apimachinery.cel.syntax.macros import MAP_INSERT, RESULT
from apimachinery.cel.syntax.nodes import Call, Entry, Fold, Ident, ListNode, Literal, MapNode, Node, Select, Struct
from apimachinery.cel.types.environment import NAMED_TYPES
from apimachinery.cel.values.faults import EvaluationError, no_overload
from apimachinery.cel.values.kinds import Instance, Optional, as_key, told

Step = Callable[[Activation], Any]


def plan(node: Node) -> Step:
    """A function that evaluates a node. It raises EvaluationError and CostExceeded."""
    match node:
        case Literal():
            return _constant(node.value)
        case Ident():
            return _ident(node.name, node)
        case Select():
            return _select(node)
        case Call():
            return _call(node)
        case ListNode():
            return _list(node)
        case MapNode():
            return _map(node)
        case Struct():
            return _struct(node)
        case Fold():
            return planned_fold(
                node, plan(node.over), plan(node.start), plan(node.condition), plan(node.step), plan(node.result)
            )
    raise TypeError(node)


def _constant(value: Any) -> Step:
    return lambda _: value


def _ident(name: str, node: Node) -> Step:
    plain = name.removeprefix(".")
    if node.type.kind == "type":
        named = node.type.params[0] if node.type.params else NAMED_TYPES["type"]

        def type_or_variable(activation: Activation) -> Any:
            activation.budget.spend(1)
            return activation.names.get(plain, named)

        return type_or_variable

    def variable(activation: Activation) -> Any:
        activation.budget.spend(1)
        try:
            value = activation.names[plain]
        except KeyError:
            raise EvaluationError(f"no such attribute(s): {plain}") from None
        if isinstance(value, EvaluationError):
            raise value
        return value

    return variable


def _select(node: Select) -> Step:
    if node.qualified:
        return _ident(node.qualified, node)
    operand, field = plan(node.operand), node.field_name
    if node.tests:
        return lambda activation: has(operand(activation), field)

    def selected(activation: Activation) -> Any:
        value = operand(activation)
        activation.budget.spend(1)
        return select(value, field)

    return selected


def _call(node: Call) -> Step:
    args = node.args if node.target is None else [node.target, *node.args]
    function = node.function
    steps = [plan(arg) for arg in args]
    if function == "_?_:_":
        return _choice(*steps)
    if function in ("_&&_", "_||_"):
        return _logic(steps[0], steps[1], function == "_||_")
    if function == "@not_strictly_false":
        return _not_strictly_false(steps[0])
    if function in ("_?._", "_[?_]"):
        return _optional(steps[0], steps[1])
    if function == "_[_]":
        return _index(steps[0], steps[1])
    if function in ("or", "orValue") and len(steps) == 2:
        return _otherwise(function, steps[0], steps[1])
    first = args[0] if args else None
    if (
        isinstance(first, Ident)
        and first.name == RESULT
        and (function == MAP_INSERT or (function == "_+_" and isinstance(args[1], ListNode)))
    ):
        return planned_gathering(function, steps[0], steps[1:])
    return planned_call(node, steps)


def _choice(condition: Step, first: Step, second: Step) -> Step:
    def chosen(activation: Activation) -> Any:
        value = condition(activation)
        if value is True:
            return first(activation)
        if value is False:
            return second(activation)
        raise no_overload()

    return chosen


def _logic(first: Step, second: Step, decides: bool) -> Step:
    """`||` is decided by a true one, `&&` by a false one, whatever is wrong with the other."""

    def decided(activation: Activation) -> Any:
        wrong: EvaluationError | None = None
        for step in (first, second):
            try:
                value = step(activation)
            except EvaluationError as error:
                wrong = wrong or error
                continue
            if value is decides:
                return decides
            if not isinstance(value, bool):
                wrong = wrong or no_overload()
        if wrong is not None:
            raise wrong
        return not decides

    return decided


def _not_strictly_false(step: Step) -> Step:
    def judged(activation: Activation) -> bool:
        activation.budget.spend(1)
        try:
            return step(activation) is not False
        except EvaluationError:
            return True

    return judged


def _index(operand: Step, key: Step) -> Step:
    def looked_up(activation: Activation) -> Any:
        value = operand(activation)
        place = key(activation)
        activation.budget.spend(1)
        return index(value, place)

    return looked_up


def _optional(operand: Step, key: Step) -> Step:
    def looked_up(activation: Activation) -> Any:
        value = operand(activation)
        activation.budget.spend(1)
        return optional_field(value, key(activation))

    return looked_up


def _otherwise(function: str, first: Step, second: Step) -> Step:
    def chosen(activation: Activation) -> Any:
        value = first(activation)
        if not isinstance(value, Optional):
            raise no_overload(function)
        if value.there:
            return value if function == "or" else value.value
        return second(activation)

    return chosen


def _list(node: ListNode) -> Step:
    steps = [(plan(element), index in node.optional) for index, element in enumerate(node.elements)]

    def made(activation: Activation) -> list[Any]:
        activation.budget.spend(10)
        found = []
        for step, optional in steps:
            value = step(activation)
            if optional:
                if not isinstance(value, Optional):
                    wrong = f"cannot initialize optional list element from non-optional value {told(value)}"
                    raise EvaluationError(wrong)
                if not value.there:
                    continue
                value = value.value
            found.append(value)
        return found

    return made


def _map(node: MapNode) -> Step:
    steps = [(plan(_node(entry)), plan(entry.value), entry.optional) for entry in node.entries]

    def made(activation: Activation) -> dict[Any, Any]:
        activation.budget.spend(30)
        found: dict[Any, Any] = {}
        for key_step, step, optional in steps:
            key, value = key_step(activation), step(activation)
            if optional:
                if (value := absent_is_none(key, value)) is None:
                    continue
                value = value.value
            place = as_key(key)
            if place in found:
                raise EvaluationError(f"Failed with repeated key: {key}")
            found[place] = value
        return found

    return made


def _node(entry: Entry) -> Node:
    assert isinstance(entry.key, Node)
    return entry.key


def _struct(node: Struct) -> Step:
    steps = [(str(entry.key), plan(entry.value), entry.optional) for entry in node.entries]
    name = node.type.name

    def made(activation: Activation) -> Instance:
        activation.budget.spend(40)
        fields: dict[str, Any] = {}
        for field, step, optional in steps:
            value = step(activation)
            if optional:
                if (value := absent_is_none(field, value)) is None:
                    continue
                value = value.value
            fields[field] = value
        return Instance(name, fields)

    return made

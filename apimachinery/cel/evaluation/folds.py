"""Loops over lists and maps. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from apimachinery.cel.evaluation.budget import Activation
from apimachinery.cel.syntax.macros import MAP_INSERT
from apimachinery.cel.syntax.nodes import Fold, Literal
from apimachinery.cel.values.faults import EvaluationError, no_overload
from apimachinery.cel.values.kinds import Instance, as_key, keys, value_type

Step = Callable[[Activation], Any]
_MISSING: Any = object()


def planned_fold(node: Fold, over: Step, start: Step, condition: Step, step: Step, result: Step) -> Step:
    """A loop. A name that it has for itself hides one around it, which is back afterwards.

    Where the condition looks at what was gathered, an error is gathered like a value: `all` and `exists` may still be
    decided after it.
    """
    gathered, first, second = node.accumulator, node.first, node.second
    own = [name for name in (gathered, first, second) if name]
    lenient = not isinstance(node.condition, Literal)

    def folded(activation: Activation) -> Any:
        names = activation.names
        elements = _elements(over(activation), bool(second))
        value = start(activation)
        hidden = [(name, names.get(name, _MISSING)) for name in own]
        try:
            names[gathered] = value
            for one, other in elements:
                names[first] = one
                if second:
                    names[second] = other
                if condition(activation) is not True:
                    break
                try:
                    names[gathered] = step(activation)
                except EvaluationError as error:
                    if not lenient:
                        raise
                    names[gathered] = error
            return result(activation)
        finally:
            for name, before in hidden:
                if before is _MISSING:
                    names.pop(name, None)
                else:
                    names[name] = before

    return folded


def _elements(value: Any, two: bool) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, list):
        return enumerate(value) if two else ((each, None) for each in value)
    if isinstance(value, Instance):
        value = value.fields
    if isinstance(value, dict):
        return zip(keys(value), value.values(), strict=True)
    raise EvaluationError(f"got 'types.{_GO_NAMES.get(value_type(value).kind, 'Err')}', expected iterable type")


_GO_NAMES = {
    kind: kind.title() for kind in ("bool", "bytes", "double", "duration", "int", "null", "string", "timestamp", "uint")
}


def planned_gathering(function: str, gathered: Step, steps: list[Step]) -> Step:
    """What a loop adds to what it gathers: nobody else has that yet, so it grows where it is."""

    def appended(activation: Activation) -> Any:
        made = gathered(activation)
        more = steps[0](activation)
        activation.budget.spend(1)
        made.extend(more)
        return made

    def inserted(activation: Activation) -> Any:
        made = gathered(activation)
        given = [step(activation) for step in steps]
        activation.budget.spend(1)
        if len(given) == 2:
            new = {as_key(given[0]): given[1]}
        else:
            (new,) = given
            if not isinstance(new, dict):
                raise no_overload(MAP_INSERT)
        for key, value in new.items():
            if key in made:
                raise EvaluationError(f"insert failed: key {key} already exists")
            made[key] = value
        return made

    return inserted if function == MAP_INSERT else appended

"""Optional values. Source: cel-go's documentation of its optional types, with what its newest version adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.cel.types.declare import function
from apimachinery.cel.types.kinds import Overload
from apimachinery.cel.values.faults import EvaluationError
from apimachinery.cel.values.kinds import NONE, Count, Optional, told
from apimachinery.cel.values.times import Duration


def some(value: Any) -> Optional:
    return Optional(value, True)


def _if_not_zero(value: Any) -> Optional:
    if isinstance(value, Duration):
        return some(value) if value.nanos else NONE
    if isinstance(value, Optional):
        return some(value) if value.there else NONE
    zero = value is None or value == 0 or (hasattr(value, "__len__") and len(value) == 0)
    return NONE if zero else some(value)


def _value(optional: Optional) -> Any:
    if not optional.there:
        raise EvaluationError("optional.none() dereference")
    return optional.value


def _unwrapped(count: Count, values: list[Any]) -> list[Any]:
    count(len(values))
    for each in values:
        if not isinstance(each, Optional):
            raise EvaluationError(f"value {told(each)} is not optional")
    return [each.value for each in values if each.there]


def _functions() -> Iterator[Overload]:
    yield function("optional.of(V) -> optional_type(V)", some)
    yield function("optional.ofNonZeroValue(V) -> optional_type(V)", _if_not_zero)
    yield function("optional.none() -> optional_type(V)", lambda: NONE)
    yield function("optional_type(V).value() -> V", _value)
    yield function("optional_type(V).hasValue() -> bool", lambda optional: optional.there)
    yield function("optional_type(V).or(optional_type(V)) -> optional_type(V)", lambda one, other: one)
    yield function("optional_type(V).orValue(V) -> V", lambda one, other: one)
    yield function("list(V).first() -> optional_type(V)", lambda values: some(values[0]) if values else NONE)
    yield function("list(V).last() -> optional_type(V)", lambda values: some(values[-1]) if values else NONE)
    yield function("optional.unwrap(list(optional_type(V))) -> list(V)", _unwrapped, counts=True)
    yield function("list(optional_type(V)).unwrapOpt() -> list(V)", _unwrapped, counts=True)


FUNCTIONS: tuple[Overload, ...] = tuple(_functions())

"""Lists and sets. Source: the documentation of cel-go's extensions and of the Kubernetes CEL libraries."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

from apimachinery.cel.libraries import costs
from apimachinery.cel.types.declare import function
from apimachinery.cel.types.kinds import Overload
from apimachinery.cel.values.faults import EvaluationError, no_overload
from apimachinery.cel.values.kinds import STEP, Comparison, Count, compare
from apimachinery.cel.values.numbers import UInt, like
from apimachinery.cel.values.times import Duration

_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_ZEROS: dict[str, Any] = {"int": 0, "uint": UInt(0), "double": 0.0, "duration": Duration(0)}
_MOST_RANGE = 1_000_000


def _is_sorted(values: list[Any]) -> bool:
    return all(compare(one, other) <= 0 for one, other in itertools.pairwise(values))


def _summed(zero: Any) -> Any:
    def total(values: list[Any]) -> Any:
        found = zero
        for each in values:
            if type(each) is not type(zero):
                raise no_overload()
            if isinstance(found, Duration):
                found = Duration(found.nanos + each.nanos)
            else:
                found = found + each if isinstance(found, float) else like(found, found + each)
        return found

    return total


def _extreme(name: str, sign: int) -> Any:
    def found(values: list[Any]) -> Any:
        if not values:
            raise EvaluationError(f"{name} called on empty list")
        best = values[0]
        for each in values[1:]:
            if compare(each, best) * sign > 0:
                best = each
        return best

    return found


def _place(count: Count, values: list[Any], wanted: Any) -> int:
    comparison = Comparison(count)
    return next((at for at, each in enumerate(values) if comparison.equal(each, wanted)), -1)


def _last_place(count: Count, values: list[Any], wanted: Any) -> int:
    comparison = Comparison(count)
    return next((at for at in range(len(values) - 1, -1, -1) if comparison.equal(values[at], wanted)), -1)


def _sliced(values: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvaluationError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(values):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(values)}")
    return values[start:end]


def _flat(count: Count, values: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    count(len(values))
    found: list[Any] = []
    inside = [iter(values)]
    while inside:
        for each in inside[-1]:
            if isinstance(each, list) and len(inside) <= depth:
                count(STEP + len(each))
                inside.append(iter(each))
                break
            found.append(each)
        else:
            inside.pop()
    return found


def _range(end: int) -> list[int]:
    if end > _MOST_RANGE:
        raise EvaluationError("list too large")
    return list(range(end))


def _distinct(count: Count, values: list[Any]) -> list[Any]:
    found: list[Any] = []
    comparison = Comparison(count)
    for each in values:
        if not any(comparison.equal(each, known) for known in found):
            found.append(each)
    return found


def _sorted_by(values: list[Any], keys: list[Any]) -> list[Any]:
    if len(values) != len(keys):
        raise EvaluationError("@sortByAssociatedKeys() expected a list of the same size as the associated keys list")
    if len({type(key) for key in keys}) > 1:
        raise EvaluationError("list elements must have the same type")
    in_order = functools.cmp_to_key(compare)
    order = sorted(range(len(keys)), key=lambda at: in_order(keys[at]))
    return [values[at] for at in order]


def _all_in(count: Count, first: list[Any], second: list[Any]) -> bool:
    comparison = Comparison(count)
    return all(any(comparison.equal(each, other) for other in first) for each in second)


def _any_in(count: Count, first: list[Any], second: list[Any]) -> bool:
    comparison = Comparison(count)
    return any(any(comparison.equal(each, other) for other in second) for each in first)


def _functions() -> Iterator[Overload]:
    for kind in _COMPARABLE:
        of = f"list({kind})"
        yield function(f"{of}.isSorted() -> bool", _is_sorted, costs.elements, True)
        yield function(f"{of}.max() -> {kind}", _extreme("max", 1), costs.elements, True)
        yield function(f"{of}.min() -> {kind}", _extreme("min", -1), costs.elements, True)
        yield function(f"{of}.sort() -> {of}", lambda values: _sorted_by(values, values), costs.squared, True)
        yield function(f"list(T).@sortByAssociatedKeys({of}) -> list(T)", _sorted_by, costs.squared, True)
    for kind, zero in _ZEROS.items():
        yield function(f"list({kind}).sum() -> {kind}", _summed(zero), costs.elements, True)
    yield function("list(A).indexOf(A) -> int", _place, costs.elements, True, True)
    yield function("list(A).lastIndexOf(A) -> int", _last_place, costs.elements, True, True)
    yield function("list(T).slice(int, int) -> list(T)", _sliced, costs.length)
    yield function("list(list(T)).flatten() -> list(T)", _flat, costs.length, counts=True)
    yield function("list(dyn).flatten(int) -> list(dyn)", _flat, costs.length, counts=True)
    yield function("lists.range(int) -> list(int)", _range, costs.length)
    yield function("list(T).reverse() -> list(T)", lambda values: values[::-1], costs.length)
    yield function("list(T).distinct() -> list(T)", _distinct, costs.squared, True, True)
    yield function("sets.contains(list(T), list(T)) -> bool", _all_in, costs.pairs, True, True)
    yield function(
        "sets.equivalent(list(T), list(T)) -> bool",
        lambda count, one, other: _all_in(count, one, other) and _all_in(count, other, one),
        costs.pairs,
        True,
        True,
    )
    yield function("sets.intersects(list(T), list(T)) -> bool", _any_in, costs.pairs, True, True)


FUNCTIONS: tuple[Overload, ...] = tuple(_functions())

"""CEL's own operators and functions. Source: doc/langdef.md of google/cel-spec."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from apimachinery import patterns
from apimachinery.cel.libraries import costs
from apimachinery.cel.types.declare import function
from apimachinery.cel.types.kinds import Overload
from apimachinery.cel.values.faults import EvaluationError
from apimachinery.cel.values.kinds import Comparison, Count, as_key, compare, equal, joined
from apimachinery.cel.values.numbers import divided, like, rest, signed
from apimachinery.cel.values.times import Duration, Timestamp


def _never(*_: Any) -> Any:
    """For operators that the evaluation itself knows."""
    raise NotImplementedError


def _over(first: int, second: int) -> int:
    if second == 0:
        raise EvaluationError("division by zero")
    return like(first, divided(first, second))


def _over_double(first: float, second: float) -> float:
    if second == 0:
        if first == 0 or first != first:
            return math.nan
        return math.copysign(math.inf, first) * math.copysign(1, second)
    return first / second


def _remainder(first: int, second: int) -> int:
    if second == 0:
        raise EvaluationError("modulus by zero")
    return like(first, rest(first, second))


def _listed(count: Count, value: Any, within: list[Any]) -> bool:
    comparison = Comparison(count)
    return any(comparison.equal(value, each) for each in within)


def _key_of(value: Any, within: dict[Any, Any]) -> bool:
    try:
        return as_key(value) in within
    except EvaluationError:
        return False


def matches(count: Count, text: str, pattern: str) -> bool:
    """Whether a regular expression is found in a text. Raises EvaluationError."""
    form = patterns.compiled(pattern)
    if form is None:
        raise EvaluationError(patterns.complaint(pattern))
    # A short one can mean a long program.
    count(form.programsize)
    return form.search(text) is not None


def _logic() -> Iterator[Overload]:
    yield function("_?_:_(bool, A, A) -> A", _never)
    yield function("_&&_(bool, bool) -> bool", _never)
    yield function("_||_(bool, bool) -> bool", _never)
    yield function("@not_strictly_false(bool) -> bool", _never)
    yield function("!_(bool) -> bool", lambda value: not value)
    yield function("_==_(A, A) -> bool", equal, costs.shorter, counts=True)
    yield function(
        "_!=_(A, A) -> bool", lambda count, one, other: not equal(count, one, other), costs.shorter, counts=True
    )


def _arithmetic() -> Iterator[Overload]:
    yield function("_+_(bytes, bytes) -> bytes", lambda first, second: first + second, costs.both, True)
    yield function("_+_(double, double) -> double", lambda first, second: first + second)
    yield function("_+_(duration, duration) -> duration", lambda one, more: Duration(one.nanos + more.nanos))
    yield function("_+_(duration, timestamp) -> timestamp", lambda more, at: Timestamp(at.nanos + more.nanos))
    yield function("_+_(timestamp, duration) -> timestamp", lambda at, more: Timestamp(at.nanos + more.nanos))
    yield function("_+_(int, int) -> int", lambda first, second: like(first, first + second))
    yield function("_+_(list(A), list(A)) -> list(A)", joined, counts=True)
    yield function("_+_(string, string) -> string", lambda first, second: first + second, costs.both, True)
    yield function("_+_(uint, uint) -> uint", lambda first, second: like(first, first + second))
    yield function("_-_(double, double) -> double", lambda first, second: first - second)
    yield function("_-_(duration, duration) -> duration", lambda one, less: Duration(one.nanos - less.nanos))
    yield function("_-_(int, int) -> int", lambda first, second: like(first, first - second))
    yield function("_-_(timestamp, duration) -> timestamp", lambda at, less: Timestamp(at.nanos - less.nanos))
    yield function("_-_(timestamp, timestamp) -> duration", lambda at, since: Duration(at.nanos - since.nanos))
    yield function("_-_(uint, uint) -> uint", lambda first, second: like(first, first - second))
    yield function("_*_(double, double) -> double", lambda first, second: first * second)
    yield function("_/_(double, double) -> double", _over_double)
    for kind in ("int", "uint"):
        yield function(f"_*_({kind}, {kind}) -> {kind}", lambda first, second: like(first, first * second))
        yield function(f"_/_({kind}, {kind}) -> {kind}", _over)
        yield function(f"_%_({kind}, {kind}) -> {kind}", _remainder)
    yield function("-_(double) -> double", lambda value: -value)
    yield function("-_(int) -> int", lambda value: signed(-value))


def _relation(sign: str, holds: Callable[[int], bool]) -> Iterator[Overload]:
    def judged(first: Any, second: Any) -> bool:
        return holds(compare(first, second))

    # NaN is not more, less or equal to anything.
    def doubles(first: float, second: float) -> bool:
        return first == first and second == second and holds(compare(first, second))

    numbers = ("int", "uint", "double")
    for one in ("bool", *numbers):
        for other in ("bool",) if one == "bool" else numbers:
            yield function(f"_{sign}_({one}, {other}) -> bool", judged)
    for kind in ("string", "bytes"):
        yield function(f"_{sign}_({kind}, {kind}) -> bool", judged, costs.shorter)
    for kind in ("timestamp", "duration"):
        yield function(f"_{sign}_({kind}, {kind}) -> bool", judged)


def _collections() -> Iterator[Overload]:
    yield function("_[_](list(A), int) -> A", _never)
    yield function("_[_](map(A, B), A) -> B", _never)
    yield function("_[_](optional_type(list(V)), int) -> optional_type(V)", _never)
    yield function("_[_](optional_type(map(K, V)), K) -> optional_type(V)", _never)
    yield function("_[?_](list(V), int) -> optional_type(V)", _never)
    yield function("_[?_](optional_type(list(V)), int) -> optional_type(V)", _never)
    yield function("_[?_](map(K, V), K) -> optional_type(V)", _never)
    yield function("_[?_](optional_type(map(K, V)), K) -> optional_type(V)", _never)
    yield function("_?._(dyn, string) -> optional_type(V)", _never)
    yield function("@in(A, list(A)) -> bool", _listed, costs.in_list, counts=True)
    yield function("@in(A, map(A, B)) -> bool", _key_of)
    for kind in ("bytes", "list(A)", "map(A, B)", "string"):
        yield function(f"size({kind}) -> int", len)
        yield function(f"{kind}.size() -> int", len)
    yield function("cel.@mapInsert(map(K, V), K, V) -> map(K, V)", _never)
    yield function("cel.@mapInsert(map(K, V), map(K, V)) -> map(K, V)", _never)


def _texts() -> Iterator[Overload]:
    yield function("string.contains(string) -> bool", lambda text, part: part in text, costs.inside)
    yield function("string.endsWith(string) -> bool", str.endswith, costs.text)
    yield function("string.startsWith(string) -> bool", str.startswith, costs.text)
    yield function("matches(string, string) -> bool", matches, costs.pattern, True, True)
    yield function("string.matches(string) -> bool", matches, costs.pattern, True, True)


FUNCTIONS: tuple[Overload, ...] = (
    *_logic(),
    *_arithmetic(),
    *_relation("<", lambda order: order < 0),
    *_relation("<=", lambda order: order <= 0),
    *_relation(">", lambda order: order > 0),
    *_relation(">=", lambda order: order >= 0),
    *_collections(),
    *_texts(),
)

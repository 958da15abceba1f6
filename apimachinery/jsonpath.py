"""JSONPath as kubectl and printer columns have it: compiled once, then asked of many objects.

Source: the JSONPath support page of Kubernetes' documentation: fields, `['field']`, indexes, slices, unions, `*`, `..`
and filters that compare two operands. What is not there is no result, as where missing keys are allowed; nor is what
upstream's fails at for one object: a part of a list that the list has not, a step of none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import orjson

from apimachinery import errors
from apimachinery.jsontext import spelled_as_go
from apimachinery.numerals import INT64, whole

__all__ = ["JsonPathError", "compiled", "printed"]

Step = Callable[[Any], Iterator[Any]]
Find = Callable[[Any], list[Any]]

_FIELD = re.compile(r"(?:[^.\[\]\s\\'\"]|\\.)+")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(-?\d+))?")
_COMPARED = re.compile(r"(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+)")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# Filters and brackets in filters and brackets. Nobody writes more, and each is a call in a call.
_MOST_NESTED = 32
# Characters of a path, some of which are looked at once for each of the others; and values that one step may find: with
# every `..` or union the same ones are found again, many times over.
_LONGEST, _MOST_FOUND = 2000, 10_000
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


class JsonPathError(ValueError):
    """A text that is no path."""


def compiled(text: str, depth: int = 0) -> Find:
    """From `.spec.a`, without braces, to what finds its values in an object, in order. depth: in how many filters and
    brackets it stands. Of more values than anybody looks at it finds the first. Raises JsonPathError.
    """
    if len(text) > _LONGEST:
        raise JsonPathError(f"a path of more than {_LONGEST} characters")
    steps = _steps(text, depth)

    def find(root: Any) -> list[Any]:
        found = [root]
        for step in steps:
            found = list(islice((inner for value in found for inner in step(value)), _MOST_FOUND))
        return found

    return find


def printed(value: Any) -> str:
    """A value as text, as Go prints it: what is no scalar as JSON, its keys sorted."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else errors.number(value)
    return "<no value>" if value is None else spelled_as_go(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).decode()


def _steps(text: str, depth: int) -> list[Step]:
    text = text.strip().removeprefix("$")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        if text.startswith("..", at):
            steps.append(_descendants)
            at += 1 if text.startswith("..[", at) else 0
        if text[at] == "[":
            end = _closing(text, at)
            steps.append(_bracket(text[at + 1 : end].strip(), depth + 1))
            at = end + 1
            continue
        if text[at] == ".":
            at += 1
            if at == len(text):
                break
            if text[at] in ".[":
                continue
        found = _FIELD.match(text, at)
        if found is None:
            raise JsonPathError(f"unrecognized character in action: {text[at:]!r}")
        name = re.sub(r"\\(.)", r"\1", found[0])
        steps.append(_everything if name == "*" else _member(name))
        at = found.end()
    return steps


def _closing(text: str, begun: int) -> int:
    depth, at = 0, begun
    while at < len(text):
        if (quoted := _QUOTED.match(text, at)) is not None:
            at = quoted.end()
            continue
        depth += {"[": 1, "]": -1}.get(text[at], 0)
        if depth == 0:
            return at
        at += 1
    raise JsonPathError("unterminated array")


def _bracket(inside: str, depth: int) -> Step:
    if depth > _MOST_NESTED:
        raise JsonPathError(f"more than {_MOST_NESTED} filters in each other")
    if inside == "*":
        return _everything
    if inside.startswith("?(") and inside.endswith(")"):
        return _filter(inside[2:-1], depth)
    if "," in inside and not _QUOTED.fullmatch(inside):
        parts = [_bracket(part.strip(), depth + 1) for part in inside.split(",")]
        return lambda value: (found for part in parts for found in part(value))
    if quoted := _QUOTED.fullmatch(inside):
        return _member(re.sub(r"\\(.)", r"\1", quoted[1] if quoted[1] is not None else quoted[2]))
    if (part := _SLICE.fullmatch(inside)) is not None:
        return _part(*(_index(given) if given else None for given in part.groups()))
    return _item(_index(inside))


def _index(text: str) -> int:
    found = whole(text)
    if found is None or not -INT64 <= found < INT64:
        raise JsonPathError(f"invalid array index {text}")
    return found


def _member(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _item(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _part(first: int | None = None, last: int | None = None, every: int | None = None) -> Step:
    step = 1 if every is None else every

    def found(value: Any) -> Iterator[Any]:
        if not isinstance(value, list) or step <= 0:
            return
        begin, end = first or 0, len(value) if last is None else last
        begin, end = (at + len(value) if at < 0 else at for at in (begin, end))
        if 0 <= begin < end <= len(value):
            yield from value[begin:end:step]

    return found


def _everything(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (value[key] for key in sorted(value))
    elif isinstance(value, list):
        yield from value


def _descendants(value: Any) -> Iterator[Any]:
    """Itself and whatever lies in it, what is above first. By hand: what lies deep would come up by as many calls."""
    left = [value]
    while left:
        value = left.pop()
        yield value
        left += reversed(list(_everything(value)))


def _filter(text: str, depth: int) -> Step:
    found = _COMPARED.fullmatch(text)
    if found is None:
        there = _operand(text, depth)
        return lambda value: (item for item in (value if isinstance(value, list) else ()) if there(item))
    left, right, sign = _operand(found[1].strip(), depth), _operand(found[3].strip(), depth), found[2]

    def holds(item: Any) -> bool:
        one, other = left(item), right(item)
        if not one or not other:
            return False
        if sign in ("==", "!="):
            return (one[0] == other[0]) is (sign == "==")
        try:
            return _COMPARE[sign](one[0], other[0])
        except TypeError:
            return False

    return lambda value: (item for item in (value if isinstance(value, list) else ()) if holds(item))


def _operand(text: str, depth: int) -> Find:
    if text.startswith("@"):
        return compiled(text[1:], depth)
    if quoted := _QUOTED.fullmatch(text):
        literal: Any = re.sub(r"\\(.)", r"\1", quoted[1] if quoted[1] is not None else quoted[2])
    elif _NUMBER.fullmatch(text):
        literal = float(text) if re.search(r"[.eE]", text) else _index(text)
    elif text in ("true", "false"):
        literal = text == "true"
    else:
        raise JsonPathError(f"unrecognized operand {text}")
    return lambda _: [literal]

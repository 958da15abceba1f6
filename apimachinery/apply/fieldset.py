"""Sets of paths as nested dicts: element -> what lies below it; the key "." says that the path itself is in the set.

`{"f:data": {".": {}, "f:a": {".": {}}}}` holds `.data` and `.data.a`. FieldsV1 writes a bare `{}` where only "." would
stand. No function changes its arguments; results may share parts with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from apimachinery.apply.elements import order, shown

__all__ = [
    "HERE",
    "LEAF",
    "Fields",
    "difference",
    "from_json",
    "insert",
    "intersection",
    "of_names",
    "of_paths",
    "path_text",
    "paths",
    "recursive_difference",
    "to_json",
    "union",
]

Fields = dict[str, Any]
Path = tuple[str, ...]

HERE = "."
LEAF: Fields = {HERE: {}}


def insert(target: Fields, path: Iterable[str]) -> None:
    """Add one path to a set under construction: the one function here that changes its argument."""
    for element in path:
        target = target.setdefault(element, {})
    target[HERE] = {}


def of_paths(found: Iterable[Path]) -> Fields:
    result: Fields = {}
    for path in found:
        insert(result, path)
    return result


@lru_cache(maxsize=256)
def of_names(found: tuple[Path, ...]) -> Fields:
    """The set of paths of names, as ("metadata", "labels"): of an endpoint, the same few for every write."""
    return of_paths(tuple(f"f:{name}" for name in path) for path in found)


def union(left: Fields, right: Fields) -> Fields:
    if not left or not right:
        return left or right
    result = dict(left)
    for element, below in right.items():
        mine = left.get(element)
        result[element] = below if mine is None else union(mine, below)
    return result


def intersection(left: Fields, right: Fields) -> Fields:
    result: Fields = {}
    for element, below in left.items():
        if element not in right:
            continue
        if element == HERE:
            result[HERE] = {}
        elif both := intersection(below, right[element]):
            result[element] = both
    return result


def difference(left: Fields, right: Fields) -> Fields:
    """The paths of `left` that are not in `right`; a path in `right` says nothing of those below it."""
    if not right:
        return left
    result: Fields = {}
    for element, below in left.items():
        if element not in right:
            result[element] = below
        elif element != HERE and (rest := difference(below, right[element])):
            result[element] = rest
    return result


def recursive_difference(left: Fields, right: Fields) -> Fields:
    """Like difference, but a path in `right` takes everything below it along."""
    result: Fields = {}
    for element, below in left.items():
        theirs = right.get(element)
        if theirs is None:
            result[element] = below
        elif element != HERE and HERE not in theirs and (rest := recursive_difference(below, theirs)):
            result[element] = rest
    return result


def paths(fields: Fields, prefix: Path = ()) -> Iterator[Path]:
    """Every path: at each level what is owned there first, then what lies below it."""
    elements = _ordered(fields)
    yield from ((*prefix, element) for element in elements if HERE in fields[element])
    for element in elements:
        yield from paths(fields[element], (*prefix, element))


def path_text(path: Path) -> str:
    return "".join(map(shown, path))


def to_json(fields: Fields) -> dict[str, Any]:
    """FieldsV1, its keys in the one order."""
    result: dict[str, Any] = {HERE: {}} if HERE in fields else {}
    for element in _ordered(fields):
        below = fields[element]
        result[element] = {} if len(below) == 1 and HERE in below else to_json(below)
    return result


def _ordered(fields: Fields) -> list[str]:
    """The elements in the one order. Names of fields, most of what there is, sort as they are."""
    elements = sorted(fields)
    if elements and elements[0] == HERE:
        del elements[0]
    if elements and (elements[0][0] != "f" or elements[-1][0] != "f"):
        elements.sort(key=order)
    return elements


def from_json(fields: dict[str, Any]) -> Fields:
    """A set from FieldsV1; raises ValueError for what is none."""
    result: Fields = {}
    for element, below in fields.items():
        if element == HERE:
            result[HERE] = {}
            continue
        if element[:2] not in ("f:", "k:", "v:", "i:") or not isinstance(below, dict):
            raise ValueError(f"no path element: {element}")
        order(element)
        result[element] = from_json(below) if below else LEAF
    return result

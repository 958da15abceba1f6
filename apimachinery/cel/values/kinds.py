"""Which type a value has, what equals what, and what comes first. Pure.

null is None; strings, bytes, bools, floats and lists are Python's, maps are dicts whose bool keys are wrapped, since
Python takes True for 1. An object of a named type is an Instance; what a library makes is a class with a `cel_type`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from apimachinery import objects
from apimachinery.cel.types.kinds import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Type,
    list_of,
    map_of,
    object_type,
    optional_of,
)
from apimachinery.cel.values.faults import EvaluationError, no_overload
from apimachinery.cel.values.numbers import UInt, is_number
from apimachinery.cel.values.times import Duration, Timestamp

# Told of work: how many parts of values are gone through. Raises what ends an evaluation.
Count = Callable[[int], None]
# Looking at a part of a value takes longer than copying one, by as much.
STEP = 10


class EndlessMap(dict[Any, Any]):
    """A map in which whatever is looked up is there: an empty map, where nothing else is. `in` tells what is not."""

    def __missing__(self, key: Any) -> Any:
        return {}


class PartMap(dict[Any, Any]):
    """An object of which some can be seen; the rest counts where two are compared."""

    def __init__(self, shown: dict[Any, Any], hidden: dict[str, Any]) -> None:
        super().__init__(shown)
        self.hidden = hidden


class SetList(list[Any]):
    """A list in which order says nothing, and nothing is twice."""


class KeyedList(list[Any]):
    """A list whose items are told apart by the values of their keys: order says nothing."""

    def __init__(self, items: Iterable[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self._keys = keys

    def by_key(self) -> dict[tuple[Any, ...], Any]:
        return {self.key(each): each for each in self}

    def key(self, item: Any) -> tuple[Any, ...]:
        return tuple(_kept_by(item.get(key)) for key in self._keys) if isinstance(item, dict) else (_kept_by(item),)

    def with_items(self, more: list[Any]) -> KeyedList:
        """Those of the same keys are replaced."""
        made = self.by_key()
        made |= {self.key(each): each for each in more}
        return KeyedList(made.values(), self._keys)


_HASHED = (str, int, float, bytes, Duration, Timestamp)


def _kept_by(value: Any) -> Any:
    """What equal values have in common, to look for them by; all that have parts are kept by one."""
    if isinstance(value, bool):
        return _KEYS[value]
    return value if isinstance(value, _HASHED) else None


_PYTHON: dict[type, Type] = {
    bool: BOOL,
    int: INT,
    UInt: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    type(None): NULL,
    Duration: DURATION,
    Timestamp: TIMESTAMP,
    Type: TYPE,
    list: list_of(DYN),
    dict: map_of(DYN, DYN),
    SetList: list_of(DYN),
    KeyedList: list_of(DYN),
    EndlessMap: map_of(DYN, DYN),
    PartMap: map_of(DYN, DYN),
}


class Opaque:
    """A value of a library's type."""

    cel_type: Type


@dataclass(frozen=True)
class Optional(Opaque):
    """A value, or none."""

    value: Any = None
    there: bool = False

    cel_type = optional_of(DYN)


NONE = Optional()


class Instance(Opaque):
    """An object of a named type that an expression made: its fields that are there."""

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self.cel_type = object_type(name)
        self.fields = fields


class Lazy(Opaque):
    """Something whose fields are worked out when they are asked for."""

    cel_type = map_of(STRING, DYN)

    def field(self, name: str) -> Any:
        """Its value. Raises EvaluationError."""
        raise NotImplementedError


def literal_type(value: Any) -> Type:
    return _PYTHON[type(value)]


def value_type(value: Any) -> Type:
    """The type of a value, the types in it left open."""
    found = _PYTHON.get(type(value))
    if found is None:
        found = value.cel_type if isinstance(value, Opaque) else DYN
    return found


_NAMES = {"null": "null_type", "duration": "google.protobuf.Duration", "timestamp": "google.protobuf.Timestamp"}


def type_name(given: Type) -> str:
    """A type's name without what it is made of, as values tell theirs."""
    return given.name or _NAMES.get(given.kind, given.kind)


def told(value: Any) -> str:
    """A value in a message; what can have parts is told by its type, since with those it can be larger than memory."""
    return type_name(value_type(value)) if isinstance(value, list | dict | Opaque) else str(value)


def fits(value: Any, wanted: Type) -> bool:
    """Whether a value can be an argument of a type, as far as that can be told without looking into it."""
    kind = wanted.kind
    if kind in ("param", "dyn"):
        return True
    given = value_type(value)
    if given.kind != kind:
        return given.kind == "dyn" or (kind == "map" and isinstance(value, Lazy | Instance))
    return kind not in ("opaque", "object") or given.name == wanted.name


@dataclass(frozen=True)
class _BoolKey:
    value: bool


_KEYS = {True: _BoolKey(True), False: _BoolKey(False)}


def as_key(value: Any) -> Any:
    """A value as a dict's key. Raises EvaluationError for what cannot be one."""
    if isinstance(value, bool):
        return _KEYS[value]
    if isinstance(value, str | int):
        return value
    if isinstance(value, float):
        # A whole number of another type is the same key.
        return int(value) if value.is_integer() else value
    raise EvaluationError(f"unsupported key type: {value_type(value)}")


def keys(value: dict[Any, Any]) -> Iterator[Any]:
    """The keys of a map, as values."""
    for key in value:
        yield key.value if isinstance(key, _BoolKey) else key


_PLAIN = frozenset((str, int, float, bool, bytes))


class Comparison:
    """Comparing deep values: what shares its parts is larger than it looks, so the steps are counted."""

    def __init__(self, count: Count) -> None:
        self._count = count

    def equal(self, first: Any, second: Any) -> bool:
        """Whether two values are equal; those of types that have nothing in common are not."""
        self._count(STEP)
        # Most are of one plain type, and there may be a million steps of them.
        if (kind := type(first)) is type(second):
            if kind in _PLAIN:
                return bool(first == second)
            if kind is list:
                return len(first) == len(second) and all(map(self.equal, first, second))
        if isinstance(first, bool) or isinstance(second, bool):
            return first is second
        if is_number(first):
            return is_number(second) and bool(first == second)
        if isinstance(first, list):
            if not isinstance(second, list) or len(first) != len(second):
                return False
            if isinstance(first, SetList):
                known = self._grouped(first)
                return all(self._among(other, known) for other in second)
            if isinstance(first, KeyedList):
                mine = first.by_key()
                return all((key := first.key(other)) in mine and self.equal(mine[key], other) for other in second)
            return all(self.equal(one, other) for one, other in zip(first, second, strict=True))
        if isinstance(first, dict):
            if not isinstance(second, dict) or len(first) != len(second):
                return False
            if not objects.same(*(each.hidden if isinstance(each, PartMap) else {} for each in (first, second))):
                return False
            return all(key in second and self.equal(value, second[key]) for key, value in first.items())
        if isinstance(first, Optional):
            same = isinstance(second, Optional) and first.there == second.there
            return same and self.equal(first.value, second.value)
        if isinstance(first, Instance):
            same = isinstance(second, Instance) and first.cel_type == second.cel_type
            return same and self.equal(first.fields, second.fields)
        if isinstance(first, Type):
            return isinstance(second, Type) and (first.kind, first.name) == (second.kind, second.name)
        return type(first) is type(second) and bool(first == second)

    def joined(self, first: list[Any], second: list[Any]) -> list[Any]:
        """One list after the other, as far as the first takes what is in the second."""
        if isinstance(first, KeyedList):
            return first.with_items(second)
        if not isinstance(first, SetList):
            return first + second
        made, known = SetList(first), self._grouped(first)
        for each in second:
            self._count(STEP)
            if not self._among(each, known):
                made.append(each)
                known.setdefault(_kept_by(each), []).append(each)
        return made

    def _grouped(self, values: list[Any]) -> dict[Any, list[Any]]:
        found: dict[Any, list[Any]] = {}
        for each in values:
            self._count(STEP)
            found.setdefault(_kept_by(each), []).append(each)
        return found

    def _among(self, wanted: Any, known: dict[Any, list[Any]]) -> bool:
        return any(self.equal(one, wanted) for one in known.get(_kept_by(wanted), ()))


def joined(count: Count, first: list[Any], second: list[Any]) -> list[Any]:
    """Two lists as one."""
    return Comparison(count).joined(first, second)


def equal(count: Count, first: Any, second: Any) -> bool:
    """Whether two values are equal."""
    return Comparison(count).equal(first, second)


_ORDERED = (str, bytes, bool, Duration, Timestamp)


def compare(first: Any, second: Any) -> int:
    """-1, 0 or 1. Raises EvaluationError for what has no order."""
    if is_number(first) and is_number(second):
        if first != first or second != second:
            raise EvaluationError("NaN values cannot be ordered")
    elif type(first) is not type(second) or not isinstance(first, _ORDERED):
        raise no_overload()
    return int(first > second) - int(first < second)


def size(value: Any) -> int:
    """How large a value counts: the length of what has one, else 1."""
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    if isinstance(value, Optional) and value.there:
        return size(value.value)
    return 1

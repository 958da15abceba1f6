"""Words of numbers, and of how many items lists have."""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apimachinery.objects import Obj
from apimachinery.schema import Node
from controlplane.apiserver.rules.compiled import inside
from controlplane.apiserver.rules.place import Found, Place, Rows, Rule, Step, of_field, plain
from controlplane.apiserver.rules.values import NOT_NEGATIVE, PORT_RANGE


def between(field: str, low: int, high: int, text: str = "") -> Rule:
    """A number that, where it is there, lies in a range, both ends included."""
    told = text or f"must be between {low} and {high}, inclusive"

    def step(value: Obj, at: Place, found: Found) -> None:
        number = value.get(field)
        if number is not None and not low <= number <= high:
            found.append(errors.invalid(at.to(field), number, told))

    return of_field(step, field)


def not_negative(*fields: str) -> Rule:
    def step(value: Obj, at: Place, found: Found) -> None:
        for field in fields:
            if (value.get(field) or 0) < 0:
                found.append(errors.invalid(at.to(field), value[field], NOT_NEGATIVE))

    return plain(step, *fields)


def more_than_nothing(*fields: str, text: str = "must be greater than 0") -> Rule:
    """Numbers that, where they are there, are greater than zero."""

    def step(value: Obj, at: Place, found: Found) -> None:
        for field in fields:
            number = value.get(field)
            if number is not None and number <= 0:
                found.append(errors.invalid(at.to(field), number, text))

    return plain(step, *fields)


def ports(*fields: str) -> Rule:
    """Numbers of ports, where they are not zero."""

    def step(value: Obj, at: Place, found: Found) -> None:
        for field in fields:
            number = value.get(field)
            if number and not 1 <= number <= 65535:
                found.append(errors.invalid(at.to(field), number, PORT_RANGE))

    return plain(step, *fields)


def at_most(field: str, limit: int) -> Rule:
    """A list of at most so many items."""

    def step(value: Obj, at: Place, found: Found) -> None:
        count = len(value.get(field) or ())
        if count > limit:
            found.append(errors.too_many(at.to(field), count, limit))

    return of_field(step, field)


def bounded(field: str, limit: int, *entries: Rule | str) -> Rule:
    """A list of at most so many items; entries are asked only of one that is no longer."""
    listed = [inside(entry) if isinstance(entry, str) else entry for entry in entries]

    def bind(node: Node, rules: Rows) -> Step:
        walk = rules.compiled(tuple(listed), node)

        def step(value: Obj, at: Place, found: Found) -> None:
            count = len(value.get(field) or ())
            if count > limit:
                found.append(errors.too_many(at.to(field), count, limit))
            else:
                walk(value, at, found)

        return step

    return Rule(bind, (field, *(name for entry in listed for name in entry.fields)), only_with=field)


def distinct(field: str, key: str = "") -> Rule:
    """No two items of a list are equal (in one of their fields): told of the item, and once the list was looked at."""

    def step(value: Obj, at: Place, found: Found) -> None:
        seen: set[Any] = set()
        for index, item in enumerate(value.get(field) or ()):
            shown = (item.get(key) or "") if key else item
            if shown in seen:
                found.append(errors.duplicate(f"{at.to(field)}[{index}]", shown))
            seen.add(shown)

    return of_field(step, field)

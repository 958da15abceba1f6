"""A valid object, one thing changed in it, and what is said of that: the form of most tests of rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery.kinds import Kind
from apimachinery.objects import copy
from controlplane.apiserver import defaults
from controlplane.apiserver.resources.builtin import ROWS
from controlplane.apiserver.rules.tables import rules

Obj = dict[str, Any]
ABSENT = object()


def kind_of(obj: Obj) -> Kind:
    wanted = (obj["apiVersion"], obj["kind"])
    return next(row.kind for row in ROWS if (row.kind.api_version, row.kind.kind) == wanted)


def put(obj: Obj, changes: Obj) -> Obj:
    """A copy of an object with values at "spec.containers.0.name" replaced, or taken away where they are ABSENT."""
    made: Obj = copy(obj)
    for path, value in changes.items():
        *way, last = path.split(".")
        place: Any = made
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if isinstance(place, list):
            if int(last) == len(place):
                place.append(value)
            else:
                place[int(last)] = value
        elif value is ABSENT:
            place.pop(last, None)
        else:
            place[last] = value
    return made


def complete(obj: Obj) -> Obj:
    """The object with its defaults, as it would be stored."""
    made: Obj = copy(obj)
    defaults.apply(made)
    return made


def told(new: Obj, old: Obj | None = None, part: str = "") -> list[str]:
    """What is wrong with an object, or a change of one, after defaulting."""
    before = complete(old) if old is not None else None
    return [str(error) for error in rules().check(kind_of(new), complete(new), before, part)]


def expect(found: list[str], wanted: list[str]) -> None:
    """Each complaint begins as wanted, in this order; texts that everybody knows are left out."""
    assert len(found) == len(wanted), found
    for text, start in zip(found, wanted, strict=True):
        assert text.startswith(start), f"{text!r} is not {start!r}"


def teller(base: Obj, part: str = "") -> Callable[[Obj], list[str]]:
    return lambda changes: told(put(base, changes), base if part else None, part)

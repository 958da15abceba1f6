"""Numbers as upstream's validator weighs them: whole ones as 64 bits, others as doubles. Pure."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

from apimachinery import errors
from apimachinery.objects import Obj

_INTEGERS = {"int32": 2**31, "int64": 2**63}
# Beyond it doubles do not tell one whole number from the next.
_MOST = 2.0**53 - 1
_CLOSE = 1e-9


def is_whole(number: float) -> bool:
    """Whether a double stands for a whole number; so close to one counts."""
    if not math.isfinite(number) or abs(number) > _MOST:
        return False
    near = float(round(number))
    return number == near or (near != 0 and abs(number - near) < _CLOSE * abs(near))


def wrong(value: int | float, schema: Obj, kind: str, name: str) -> Iterator[tuple[str, Any]]:
    """What is wrong with a number: a text, and the value that it is about; ... where it is about none.

    kind: the one type that its place has, "" where there are several or none.
    """
    form = schema.get("format") or ""
    if not _within(value, kind, form):
        yield _range("Checked", kind, form, name), ...
    step, least, most = (schema.get(key) for key in ("multipleOf", "minimum", "maximum"))
    if step is not None:
        yield from _steps(value, step, _bound(step, "MultipleOf", kind, form, name), name)
    if least is not None:
        text = _bound(least, "Minimum boundary", kind, form, name)
        yield from _least(value, least, bool(schema.get("exclusiveMinimum")), text, name)
    if most is not None:
        text = _bound(most, "Maximum boundary", kind, form, name)
        yield from _most(value, most, bool(schema.get("exclusiveMaximum")), text, name)


def _within(value: int | float, kind: str, form: str) -> bool:
    if kind == "integer":
        most = _INTEGERS.get(form, 2**63)
        return float(value).is_integer() and -most <= value < most
    if kind == "number" and form == "float":
        try:
            struct.pack("<f", value)
        except OverflowError:
            return False
    return True


def _bound(bound: int | float, what: str, kind: str, form: str, name: str) -> str:
    return "" if _within(bound, kind, form) else _range(what, kind, form, name)


def _range(what: str, kind: str, form: str, name: str) -> str:
    how = f"with format {form}" if form in (*_INTEGERS, "float", "double") else "(default format)"
    return f"{what} value must be of type {kind} {how} in {name}"


def _steps(value: int | float, step: int | float, unfit: str, name: str) -> Iterator[tuple[str, Any]]:
    if unfit:
        yield unfit, ...
    plain = _plain(value, unfit)
    factor = _like(plain, step)
    if factor <= 0:
        yield f"factor MultipleOf declared for {name} must be positive: {shown(factor)}", factor
        return
    if isinstance(plain, int):
        fine = plain % factor == 0
    else:
        fine = is_whole(1 / factor * plain if factor < 1 else plain / factor)
    if not fine:
        yield f"{name} in body should be a multiple of {shown(factor)}", plain


def _least(value: int | float, bound: int | float, strict: bool, unfit: str, name: str) -> Iterator[tuple[str, Any]]:
    if unfit:
        yield unfit, ...
    plain = _plain(value, unfit)
    least = _like(plain, bound)
    if plain <= least if strict else plain < least:
        yield f"{name} in body should be greater than {'' if strict else 'or equal to '}{shown(least)}", plain


def _most(value: int | float, bound: int | float, strict: bool, unfit: str, name: str) -> Iterator[tuple[str, Any]]:
    if unfit:
        yield unfit, ...
    plain = _plain(value, unfit)
    most = _like(plain, bound)
    if plain >= most if strict else plain > most:
        yield f"{name} in body should be less than {'' if strict else 'or equal to '}{shown(most)}", plain


def _plain(value: int | float, unfit: str) -> int | float:
    """A value that is compared with what does not fit its type is compared as a double."""
    return float(value) if unfit else value


def _like(value: int | float, bound: int | float) -> int | float:
    """A bound as it is compared with a value; what 64 bits do not hold becomes the least that they do."""
    if isinstance(value, float):
        return float(bound)
    return int(bound) if -(2**63) <= bound < 2**63 else -(2**63)


def shown(number: int | float) -> str:
    """A bound as messages have it."""
    return errors.number(number) if isinstance(number, float) else str(number)

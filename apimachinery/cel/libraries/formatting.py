"""`"%s is %d".format([…])`. Source: the documentation of cel-go's string extension."""

from __future__ import annotations

import math
from typing import Any

from apimachinery.cel.libraries.conversions import double_text
from apimachinery.cel.types.kinds import Type
from apimachinery.cel.values.clauses import TAKES, parts
from apimachinery.cel.values.faults import CostExceeded, EvaluationError
from apimachinery.cel.values.kinds import keys, value_type
from apimachinery.cel.values.times import Duration, Timestamp

_LONGEST = 1_000_000
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


def formatted(text: str, values: list[Any]) -> str:
    """A text with its clauses replaced by values. Raises EvaluationError."""
    made: list[str] = []
    used = length = 0
    for part in parts(text):
        if isinstance(part, str):
            made.append(part)
            continue
        if used >= len(values):
            raise EvaluationError(f"index {used} out of range")
        made.append(_one(*part, values[used]))
        used += 1
        length += len(made[-1])
        if length > _LONGEST:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")
    return "".join(made)


def _one(kind: str, digits: int, value: Any) -> str:
    match kind:
        case "s":
            return _text(value)
        case "d":
            return _decimal(value)
        case "f" | "e":
            return _double(kind, digits, value)
    return _based(kind, value)


def _wrong(kind: str, value: Any) -> EvaluationError:
    given = value_type(value)
    name = {"null": "null_type"}.get(given.kind, given.name or given.kind)
    return EvaluationError(f"error during formatting: {TAKES[kind]}, was given {name}")


def _text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case bytes():
            return value.decode("utf-8", "replace")
        case float():
            return _double_text(value)
        case int():
            return str(int(value))
        case Duration() | Timestamp():
            return value.text()
        case Type():
            return _type_name(value)
        case list():
            return f"[{', '.join(map(_text, value))}]"
        case dict():
            shown = {_text(key): _text(item) for key, item in zip(keys(value), value.values(), strict=True)}
            return "{" + ", ".join(f"{key}: {shown[key]}" for key in sorted(shown)) + "}"
    raise _wrong("s", value)


def _type_name(given: Type) -> str:
    return "null_type" if given.kind == "null" else given.name or given.kind


def _double_text(value: float) -> str:
    if math.isfinite(value):
        return double_text(value)
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")


def _decimal(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    raise _wrong("d", value)


def _double(kind: str, digits: int, value: Any) -> str:
    if isinstance(value, str) and value in _NOT_FINITE:
        value = float(value.replace("Infinity", "inf"))
    if not isinstance(value, float):
        raise _wrong(kind, value)
    if not math.isfinite(value):
        return "NaN" if value != value else ("∞" if value > 0 else "-∞")
    if kind == "f":
        return f"{value:,.{digits}f}"
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}\u202f×\u202f10{_raised(int(exponent))}"


def _raised(exponent: int) -> str:
    # As the locale writes it, with two digits at least.
    digits = f"{abs(exponent):02d}".translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return ("⁻" if exponent < 0 else "") + digits


def _based(kind: str, value: Any) -> str:
    if isinstance(value, bool):
        if kind == "b":
            return "1" if value else "0"
    elif isinstance(value, int):
        return format(int(value), kind)
    elif isinstance(value, str | bytes) and kind in "xX":
        octets = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        return octets.hex() if kind == "x" else octets.hex().upper()
    raise _wrong(kind, value)

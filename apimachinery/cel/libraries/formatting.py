"""`"%s is %d".format([…])`. Source: the documentation of cel-go's string extension."""

from __future__ import annotations

import math
from typing import Any

from apimachinery.cel.libraries.conversions import double_text
from apimachinery.cel.types.kinds import Type
from apimachinery.cel.values.clauses import TAKES, parts
from apimachinery.cel.values.faults import CostExceeded, EvaluationError
from apimachinery.cel.values.kinds import STEP, Count, keys, type_name, value_type
from apimachinery.cel.values.times import Duration, Timestamp
from apimachinery.errors import quoted

_LONGEST = 1_000_000
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


def formatted(count: Count, text: str, values: list[Any]) -> str:
    """A text with its clauses replaced by values. Raises EvaluationError."""
    made: list[str] = []
    used = length = 0
    for part in parts(text):
        if isinstance(part, str):
            made.append(part)
            continue
        if used >= len(values):
            raise EvaluationError(f"index {used} out of range")
        made.append(_one(count, *part, values[used]))
        used += 1
        length += len(made[-1])
        if length > _LONGEST:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")
    return "".join(made)


def _one(count: Count, kind: str, digits: int, value: Any) -> str:
    match kind:
        case "s":
            return _text(count, value)
        case "d":
            return _decimal(value)
        case "f" | "e":
            return _double(kind, digits, value)
    return _based(kind, value)


def _wrong(kind: str, value: Any) -> EvaluationError:
    return EvaluationError(f"error during formatting: {TAKES[kind]}, was given {type_name(value_type(value))}")


def _text(count: Count, value: Any) -> str:
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
            return double_text(value)
        case int():
            return str(int(value))
        case Duration() | Timestamp():
            return value.text()
        case Type():
            return type_name(value)
        case list():
            return f"[{', '.join([_literal(count, item) for item in value])}]"
        case dict():
            pairs = zip(keys(value), value.values(), strict=True)
            shown = {_literal(count, key): _literal(count, item) for key, item in pairs}
            return "{" + ", ".join(f"{key}:{shown[key]}" for key in sorted(shown)) + "}"
    raise _wrong("s", value)


def _literal(count: Count, value: Any) -> str:
    """A value in a list or map, as an expression would write it; counted wherever it lies, since it is copied there."""
    text = _written(count, value)
    count(STEP + len(text))
    return text


def _written(count: Count, value: Any) -> str:
    match value:
        case str():
            return quoted(value)
        case bytes():
            return f"b{quoted(value.decode('utf-8', 'replace'))}"
        case float():
            return f"{value:.6f}" if math.isfinite(value) else quoted(double_text(value))
        case Timestamp():
            return f"timestamp({quoted(value.text())})"
        case Duration():
            return f"duration({quoted(value.text())})"
    return _text(count, value)


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
    return f"{mantissa}×10{_raised(int(exponent))}"


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

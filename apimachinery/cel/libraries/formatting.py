"""`"%s is %d".format([…])`. Source: the documentation of cel-go's string extension."""

from __future__ import annotations

import math
import re
from typing import Any

from apimachinery.cel.libraries.conversions import double_text
from apimachinery.cel.types.kinds import Type
from apimachinery.cel.values.faults import CostExceeded, EvaluationError
from apimachinery.cel.values.kinds import keys, value_type
from apimachinery.cel.values.times import Duration, Timestamp
from apimachinery.errors import quoted

_CLAUSE = re.compile(r"(?:\.(?P<precision>\d*))?(?P<kind>.)?", re.DOTALL | re.ASCII)
_MOST_DIGITS = 1000
_LONGEST = 1_000_000
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


def formatted(text: str, values: list[Any]) -> str:
    """A text with its clauses replaced by values. Raises EvaluationError."""
    made: list[str] = []
    at = used = length = 0
    while True:
        sign = text.find("%", at)
        if sign < 0:
            made.append(text[at:])
            return "".join(made)
        made.append(text[at:sign])
        if text[sign + 1 : sign + 2] == "%":
            made.append("%")
            at = sign + 2
            continue
        if used >= len(values):
            raise EvaluationError(f"index {used} out of range")
        clause = _CLAUSE.match(text, sign + 1)
        assert clause is not None
        if clause["kind"] is None:
            if clause["precision"] is not None:
                raise _unread("error while parsing precision: could not find end of precision specifier")
            raise EvaluationError("unexpected end of string")
        made.append(_one(clause["kind"], clause["precision"], values[used]))
        length += len(made[-1])
        if length > _LONGEST:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")
        used += 1
        at = clause.end()


def _unread(why: str) -> EvaluationError:
    return EvaluationError(f"could not parse formatting clause: {why}")


def _one(kind: str, precision: str | None, value: Any) -> str:
    digits = 6
    if precision is not None:
        if not precision or len(precision) > 6:
            why = "invalid syntax" if not precision else "value out of range"
            raise _unread(
                "error while parsing precision: error while converting precision to integer: "
                f"strconv.Atoi: parsing {quoted(precision)}: {why}"
            )
        digits = int(precision)
        if digits > _MOST_DIGITS:
            raise _unread(f"precision {digits} is too large")
    match kind:
        case "s":
            return _text(value)
        case "d":
            return _decimal(value)
        case "f" | "e":
            return _double(kind, digits, value)
        case "b" | "o" | "x" | "X":
            return _based(kind, value)
    raise _unread(f'unrecognized formatting clause "{kind}"')


def _wrong(clause: str, value: Any) -> EvaluationError:
    given = value_type(value)
    name = {"null": "null_type"}.get(given.kind, given.name or given.kind)
    return EvaluationError(f"error during formatting: {clause}, was given {name}")


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
    raise _wrong(
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, "
        "durations, and timestamps",
        value,
    )


def _type_name(given: Type) -> str:
    return "null_type" if given.kind == "null" else given.name or given.kind


def _double_text(value: float) -> str:
    if math.isfinite(value):
        return double_text(value)
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")


def _decimal(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    raise _wrong("decimal clause can only be used on integers", value)


def _double(kind: str, digits: int, value: Any) -> str:
    if isinstance(value, str) and value in _NOT_FINITE:
        value = float(value.replace("Infinity", "inf"))
    if not isinstance(value, float):
        what = "fixed-point" if kind == "f" else "scientific"
        raise _wrong(f"{what} clause can only be used on doubles", value)
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
    raise _wrong(_BASED[kind.lower()], value)


_BASED = {
    "b": "only integers and bools can be formatted as binary",
    "o": "octal clause can only be used on integers",
    "x": "only integers, byte buffers, and strings can be formatted as hex",
}

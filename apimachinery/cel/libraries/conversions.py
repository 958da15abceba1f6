"""Conversions between types. Source: doc/langdef.md of google/cel-spec."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from apimachinery.cel.libraries import costs
from apimachinery.cel.types.declare import function
from apimachinery.cel.types.kinds import Overload, Type
from apimachinery.cel.values.faults import EvaluationError
from apimachinery.cel.values.kinds import value_type
from apimachinery.cel.values.numbers import MAX_INT, MAX_UINT, MIN_INT, UInt, signed, truncated, unsigned
from apimachinery.cel.values.times import SECOND, Duration, Timestamp, parse_duration, parse_timestamp

_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_DOUBLE = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity|nan))", re.ASCII)


def _unread(kind: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from 'string' to '{kind}'")


def _whole(text: str, kind: str, signs: str, low: int, high: int) -> int:
    digits = text[1:] if text[:1] and text[0] in signs else text
    # What has more digits than any number that fits is not worth reading.
    if not (digits.isascii() and digits.isdigit()) or len(digits.lstrip("0")) > 20:
        raise _unread(kind)
    number = -int(digits) if text[0] == "-" else int(digits)
    if not low <= number <= high:
        raise _unread(kind)
    return number


def _double(text: str) -> float:
    value = float(text) if _DOUBLE.fullmatch(text) else math.inf
    if math.isinf(value) and text.lstrip("+-")[:1] not in ("i", "I"):
        raise _unread("double")
    return value


def _uint(value: float) -> UInt:
    return UInt(truncated(value, -1, MAX_UINT + 1, "unsigned integer overflow"))


def _duration(text: str) -> Duration:
    try:
        return parse_duration(text)
    except EvaluationError as error:
        raise _unread("google.protobuf.Duration") from error


def _timestamp(text: str) -> Timestamp:
    try:
        return parse_timestamp(text)
    except EvaluationError as error:
        raise _unread("google.protobuf.Timestamp") from error


def _bool(text: str) -> bool:
    if text not in _BOOLS:
        raise _unread("bool")
    return _BOOLS[text]


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from error


def double_text(value: float) -> str:
    """A number as Go writes it: with an exponent from 10^6 on and below 10^-4."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1, value) < 0 else ""
    exponent = f"{abs(value):.17e}".partition("e")[2]
    # repr has the fewest digits that mean the number.
    shortest = repr(abs(value))
    digits = shortest.partition("e")[0].replace(".", "").lstrip("0").rstrip("0")
    power = int(exponent)
    if value == 0:
        return f"{sign}0"
    if power < -4 or power >= 6:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    whole = digits[: power + 1].ljust(power + 1, "0")
    return sign + whole + (f".{digits[power + 1 :]}" if len(digits) > power + 1 else "")


def _type(value: Any) -> Type:
    return value_type(value)


def _same(kind: str) -> Overload:
    return function(f"{kind}({kind}) -> {kind}", lambda value: value)


def _functions() -> Iterator[Overload]:
    yield function("type(A) -> type(A)", _type)
    yield function("dyn(A) -> dyn", lambda value: value)
    for kind in ("bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"):
        yield _same(kind)
    yield function("bool(string) -> bool", _bool)
    yield function("bytes(string) -> bytes", lambda text: text.encode("utf-8", "surrogatepass"), costs.text)
    yield function("double(int) -> double", float)
    yield function("double(string) -> double", _double)
    yield function("double(uint) -> double", float)
    yield function("duration(int) -> duration", Duration)
    yield function("duration(string) -> duration", _duration)
    yield function("int(double) -> int", lambda value: truncated(value, MIN_INT, MAX_INT + 1, "integer overflow"))
    yield function("int(duration) -> int", lambda value: value.nanos)
    yield function("int(string) -> int", lambda text: _whole(text, "int", "+-", MIN_INT, MAX_INT))
    yield function("int(timestamp) -> int", lambda value: value.nanos // SECOND)
    yield function("int(uint) -> int", lambda value: signed(int(value)))
    yield function("string(bool) -> string", lambda value: "true" if value else "false")
    yield function("string(bytes) -> string", _decoded, costs.text)
    yield function("string(double) -> string", double_text)
    yield function("string(duration) -> string", Duration.text)
    yield function("string(int) -> string", str)
    yield function("string(timestamp) -> string", Timestamp.text)
    yield function("string(uint) -> string", lambda value: str(int(value)))
    yield function("timestamp(int) -> timestamp", lambda seconds: Timestamp(seconds * SECOND))
    yield function("timestamp(string) -> timestamp", _timestamp)
    yield function("uint(double) -> uint", _uint)
    yield function("uint(int) -> uint", unsigned)
    yield function("uint(string) -> uint", lambda text: UInt(_whole(text, "uint", "", 0, MAX_UINT)))


FUNCTIONS: tuple[Overload, ...] = tuple(_functions())

"""Values whose JSON has more than one spelling: each check returns the canonical one or raises a DecodeError.

The texts are those of upstream's decoder (Go's encoding/json, time and encoding/base64 packages).
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from typing import Any

from apimachinery import quantity
from apimachinery.jsontext import type_of

__all__ = [
    "DecodeError",
    "base64_text",
    "int_or_string",
    "microtime",
    "no_local_time",
    "quantity_text",
    "timestamp",
]

# The quick shapes hold no 29th to 31st and no year before 1000; those take the long way.
COMMON = "[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
SECOND = re.compile(COMMON + "Z", re.ASCII)
MICROSECOND = re.compile(COMMON + r"\.[0-9]{6}Z", re.ASCII)
ANY_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:[.,]([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)

SECOND_LAYOUT = "2006-01-02T15:04:05Z07:00"
MICROSECOND_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
Pieces = tuple[tuple[str, str], ...]
TIME_PIECES: Pieces = (
    ("2006", r"[0-9]{4}"), ("-", "-"), ("01", r"[0-9]{2}"), ("-", "-"), ("02", r"[0-9]{2}"), ("T", "T"),
    ("15", r"[0-9]{2}"), (":", ":"), ("04", r"[0-9]{2}"), (":", ":"), ("05", r"[0-9]{2}"),
)  # fmt: skip
ZONE = ("Z07:00", r"Z|[+-][0-9]{2}:[0-9]{2}")
SECOND_PIECES = (*TIME_PIECES, ("", r"(?:[.,][0-9]+)?"), ZONE)
MICROSECOND_PIECES = (*TIME_PIECES, (".000000", r"[.,][0-9]{6}"), ZONE)


class DecodeError(ValueError):
    """A value of the wrong type or spelling; the message is upstream's."""


def quantity_text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DecodeError(quantity.FORMAT_WRONG)
    try:
        return quantity.canonical(value)
    except quantity.QuantityError as error:
        raise DecodeError(str(error)) from None


def int_or_string(value: Any) -> int | str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if -(2**31) <= value < 2**31:
            return value
        raise DecodeError(f"json: cannot unmarshal number {value} into Go value of type int32")
    shown = f"number {value!r}" if isinstance(value, float) else type_of(value)
    raise DecodeError(f"json: cannot unmarshal {shown} into Go value of type int32")


# Go's zero time: no time at all.
_ZERO_TIME = datetime.datetime(1, 1, 1, tzinfo=datetime.timezone.utc)


def timestamp(value: Any) -> str | None:
    """RFC 3339 in UTC with whole seconds; None for the zero time, which the API writes as nothing."""
    if type(value) is str and SECOND.fullmatch(value):
        return value
    when = _parse_time(value, SECOND_LAYOUT, SECOND_PIECES)
    if when is None:
        return None
    return f"{when.year:04d}-{when.month:02d}-{when.day:02d}T{when:%H:%M:%S}Z"


def microtime(value: Any) -> str | None:
    """RFC 3339 in UTC with six digits of a second, which must be there."""
    if type(value) is str and MICROSECOND.fullmatch(value):
        return value
    # Go takes any fraction of a second where the layout has none, and exactly what it has where it has one.
    if isinstance(value, str) and (complaint := _time_complaint(value, MICROSECOND_LAYOUT, MICROSECOND_PIECES)):
        raise DecodeError(complaint)
    when = _parse_time(value, MICROSECOND_LAYOUT, MICROSECOND_PIECES)
    if when is None:
        return None
    return f"{when.year:04d}-{when.month:02d}-{when.day:02d}T{when:%H:%M:%S}.{when.microsecond:06d}Z"


def _parse_time(value: Any, layout: str, pieces: Pieces) -> datetime.datetime | None:
    if not isinstance(value, str):
        raise DecodeError(f"json: cannot unmarshal {type_of(value)} into Go value of type string")
    match = ANY_TIME.fullmatch(value)
    if match is None:
        raise DecodeError(_time_complaint(value, layout, pieces))
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    micros = int(((match[7] or "") + "000000")[:6])
    for name, number, low, high in (
        ("month", month, 1, 12),
        ("day", day, 1, 31),
        ("hour", hour, 0, 23),
        ("minute", minute, 0, 59),
        ("second", second, 0, 59),
    ):
        if not low <= number <= high:
            raise DecodeError(f'parsing time "{value}": {name} out of range')
    try:
        when = datetime.datetime(max(year, 1), month, day, hour, minute, second, micros, datetime.timezone.utc)
    except ValueError:
        raise DecodeError(f'parsing time "{value}": day out of range') from None
    zone = match[8]
    if zone != "Z":
        offset = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        try:
            when = when - offset if zone[0] == "+" else when + offset
        except OverflowError:
            return None
    return None if when == _ZERO_TIME else when


def no_local_time(value: str) -> str:
    """Why a text is no time without a zone, "" when it is one."""
    return _time_complaint(value, "2006-01-02T15:04:05", TIME_PIECES)


def _time_complaint(value: str, layout: str, pieces: Pieces) -> str:
    rest = value
    for element, pattern in pieces:
        match = re.match(pattern, rest, re.ASCII)
        if match is None:
            return f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as "{element}"'
        rest = rest[match.end() :]
    return f'parsing time "{value}": extra text: "{rest}"' if rest else ""


def base64_text(value: Any) -> str:
    """Standard base64 with padding; line breaks inside are dropped, as upstream's decoder does."""
    if type(value) is str and BASE64.fullmatch(value):
        return value
    if not isinstance(value, str):
        raise DecodeError(f"json: cannot unmarshal {type_of(value)} into Go value of type []uint8")
    joined = value.replace("\n", "").replace("\r", "")
    if not BASE64.fullmatch(joined):
        raise DecodeError(f"illegal base64 data at input byte {_bad_byte(value)}")
    try:
        base64.b64decode(joined, validate=True)
    except binascii.Error:
        raise DecodeError(f"illegal base64 data at input byte {_bad_byte(value)}") from None
    return joined


def _bad_byte(value: str) -> int:
    filled = 0
    for index, letter in enumerate(value):
        if letter in "\r\n":
            continue
        if letter == "=":
            return _bad_padding(value, index, filled)
        if not (letter.isascii() and (letter.isalnum() or letter in "+/")):
            return index
        filled = (filled + 1) % 4
    return len(value) - filled


def _bad_padding(value: str, index: int, filled: int) -> int:
    if filled < 2:
        return index
    rest = [at for at in range(index + 1, len(value)) if value[at] not in "\r\n"]
    if filled == 2:
        if not rest:
            return len(value)
        if value[rest[0]] != "=":
            return rest[0] - 1 if rest[0] else 0
        rest = rest[1:]
    return rest[0] if rest else len(value)

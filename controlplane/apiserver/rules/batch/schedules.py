"""Schedules of CronJobs, as upstream's reader of them (robfig/cron) takes them, with its words for what it does not."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping

from apimachinery import duration
from apimachinery.errors import quoted
from apimachinery.numerals import INT64, whole

_MACROS = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))
_EVERY = "@every "
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_DAYS = "sun mon tue wed thu fri sat"
BAD_ZONE = "time: invalid location name"
# Of minute, hour, day of month, month and day of week: the least, the greatest, and names.
_FIELDS: tuple[tuple[int, int, Mapping[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS.split(), 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS.split())}),
)


class _Wrong(ValueError):
    """A schedule that is none; the message is upstream's."""


def schedule_error(schedule: str) -> str:
    """What is wrong with a cron schedule, "" when it is fine."""
    try:
        _read(schedule)
    except _Wrong as error:
        return str(error)
    return ""


def known_zone(zone: str) -> bool:
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _read(schedule: str) -> None:
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        zone, space, rest = schedule.partition("=")[2].partition(" ")
        if not space:
            raise _Wrong("invalid schedule format: runtime error: slice bounds out of range [:-1]")
        if wrong := _zone_error(zone):
            raise _Wrong(f"provided bad location {zone}: {wrong}")
        schedule = rest.strip()
    if schedule.startswith("@"):
        _macro(schedule)
        return
    parts = schedule.split()
    if len(parts) != len(_FIELDS):
        raise _Wrong(f"expected exactly {len(_FIELDS)} fields, found {len(parts)}: [{' '.join(parts)}]")
    for part, (low, high, names) in zip(parts, _FIELDS, strict=True):
        for piece in part.split(","):
            if piece:
                _piece(piece, low, high, names)


def _zone_error(zone: str) -> str:
    if ".." in zone or zone.startswith(("/", "\\")):
        return BAD_ZONE
    return "" if zone in ("", "UTC", "Local") or known_zone(zone) else f"unknown time zone {zone}"


def _macro(text: str) -> None:
    if text in _MACROS:
        return
    if not text.startswith(_EVERY):
        raise _Wrong(f"unrecognized descriptor: {text}")
    try:
        duration.seconds(text[len(_EVERY) :])
    except duration.DurationError as error:
        raise _Wrong(f"failed to parse duration {text}: {error}") from None


def _piece(piece: str, low: int, high: int, names: Mapping[str, int]) -> None:
    """first, first-last or *, each with a /step."""
    span, *steps = piece.split("/")
    ends = span.split("-")
    if ends[0] in ("*", "?"):
        first, last = low, high
    else:
        first = last = _value(ends[0], names)
        if len(ends) == 2:
            last = _value(ends[1], names)
        elif len(ends) > 2:
            raise _Wrong(f"too many hyphens: {piece}")
    step = _number(steps[0]) if len(steps) == 1 else 1
    if len(steps) > 1:
        raise _Wrong(f"too many slashes: {piece}")
    if steps and len(ends) == 1:
        last = high
    if first < low:
        raise _Wrong(f"beginning of range ({first}) below minimum ({low}): {piece}")
    if last > high:
        raise _Wrong(f"end of range ({last}) above maximum ({high}): {piece}")
    if first > last:
        raise _Wrong(f"beginning of range ({first}) beyond end of range ({last}): {piece}")
    if step == 0:
        raise _Wrong(f"step of range should be a positive number: {piece}")


def _value(text: str, names: Mapping[str, int]) -> int:
    named = names.get(text.lower())
    return _number(text) if named is None else named


def _number(text: str) -> int:
    number = whole(text)
    if number is None or not -INT64 <= number < INT64:
        why = "invalid syntax" if number is None else "value out of range"
        raise _Wrong(f"failed to parse int from {text}: strconv.Atoi: parsing {quoted(text)}: {why}")
    if number < 0:
        raise _Wrong(f"negative number ({number}) not allowed: {text}")
    return number

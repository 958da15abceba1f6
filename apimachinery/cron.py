"""Schedules of CronJobs, as upstream's reader of them (robfig/cron) takes them, with its words for what it does not.

What the API server accepts is what the controller finds times for: both read it here.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass

from apimachinery import duration
from apimachinery.errors import quoted
from apimachinery.numerals import INT64, whole

__all__ = ["Cron", "CronError", "read", "zone_error"]

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_DAYS = "sun mon tue wed thu fri sat"
# Of minute, hour, day of month, month and day of week: the least, the greatest, and names.
_FIELDS: tuple[tuple[int, int, Mapping[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS.split(), 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS.split())}),
)


class CronError(ValueError):
    """A schedule that is none; the message is upstream's."""


@dataclass(frozen=True)
class Cron:
    """What a schedule says.

    `fields`: the numbers of minute, hour, day of month, month and day of week; None for a star, and an empty one is
    never met. Or `every` so many seconds, at least one. `zone`: the name before them, None for none.
    """

    fields: tuple[frozenset[int] | None, ...] = ()
    every: int = 0
    zone: str | None = None


def read(schedule: str) -> Cron:
    """Raises CronError."""
    named: str | None = None
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        named, space, rest = schedule.partition("=")[2].partition(" ")
        if not space:
            raise CronError("invalid schedule format: runtime error: slice bounds out of range [:-1]")
        if wrong := zone_error(named):
            raise CronError(f"provided bad location {named}: {wrong}")
        schedule = rest.strip()
    if schedule.startswith(_EVERY):
        return Cron(every=_every(schedule), zone=named)
    if schedule.startswith("@") and schedule not in _MACROS:
        raise CronError(f"unrecognized descriptor: {schedule}")
    parts = _MACROS.get(schedule, schedule).split()
    if len(parts) != len(_FIELDS):
        raise CronError(f"expected exactly {len(_FIELDS)} fields, found {len(parts)}: [{' '.join(parts)}]")
    return Cron(tuple(_field(part, *limits) for part, limits in zip(parts, _FIELDS, strict=True)), zone=named)


def zone_error(zone: str) -> str:
    """What is wrong with the name of a time zone, "" when it is fine."""
    if ".." in zone or zone.startswith(("/", "\\")):
        return "time: invalid location name"
    if zone in ("", "UTC", "Local"):
        return ""
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"unknown time zone {zone}"
    return ""


def _every(text: str) -> int:
    try:
        return max(int(duration.seconds(text[len(_EVERY) :])), 1)
    except duration.DurationError as error:
        raise CronError(f"failed to parse duration {text}: {error}") from None


def _field(text: str, low: int, high: int, names: Mapping[str, int]) -> frozenset[int] | None:
    pieces = [_piece(piece, low, high, names) for piece in text.split(",") if piece]
    found = frozenset[int]().union(*(piece for piece in pieces if piece is not None))
    return None if None in pieces else found


def _piece(piece: str, low: int, high: int, names: Mapping[str, int]) -> range | None:
    """first, first-last or *, each with a /step; None for each number of the field as a star says it."""
    span, *steps = piece.split("/")
    ends = span.split("-")
    star = ends[0] in ("*", "?")
    if star:
        first, last = low, high
    else:
        first = last = _value(ends[0], names)
        if len(ends) == 2:
            last = _value(ends[1], names)
        elif len(ends) > 2:
            raise CronError(f"too many hyphens: {piece}")
    step = _number(steps[0]) if len(steps) == 1 else 1
    if len(steps) > 1:
        raise CronError(f"too many slashes: {piece}")
    if steps and len(ends) == 1:
        last = high
    if first < low:
        raise CronError(f"beginning of range ({first}) below minimum ({low}): {piece}")
    if last > high:
        raise CronError(f"end of range ({last}) above maximum ({high}): {piece}")
    if first > last:
        raise CronError(f"beginning of range ({first}) beyond end of range ({last}): {piece}")
    if step == 0:
        raise CronError(f"step of range should be a positive number: {piece}")
    return None if star and step == 1 else range(first, last + 1, step)


def _value(text: str, names: Mapping[str, int]) -> int:
    named = names.get(text.lower())
    return _number(text) if named is None else named


def _number(text: str) -> int:
    number = whole(text)
    if number is None or not -INT64 <= number < INT64:
        why = "invalid syntax" if number is None else "value out of range"
        raise CronError(f"failed to parse int from {text}: strconv.Atoi: parsing {quoted(text)}: {why}")
    if number < 0:
        raise CronError(f"negative number ({number}) not allowed: {text}")
    return number

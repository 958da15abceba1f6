"""Schedules of CronJobs."""

from __future__ import annotations

import re

from apimachinery.numerals import INT64, whole

_MACROS = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))
_EVERY = re.compile(r"@every ([0-9.]+(ns|us|ms|s|m|h))+\Z")
_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_NAMED = {
    3: dict(
        zip(
            ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
            range(1, 13),
            strict=True,
        )
    ),
    4: dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], range(7), strict=True)),
}


def schedule_error(schedule: str) -> str:
    """What is wrong with a cron schedule, "" when it is fine."""
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        schedule = schedule.partition(" ")[2].strip()
    if schedule.startswith("@"):
        fine = schedule in _MACROS or _EVERY.match(schedule)
        return "" if fine else f"unrecognized descriptor: {schedule}"
    parts = schedule.split()
    if len(parts) != 5:
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    for place, part in enumerate(parts):
        for piece in part.split(","):
            if why := _piece_error(piece, place):
                return why
    return ""


def _piece_error(piece: str, place: int) -> str:
    low, high = _FIELDS[place]
    span, _, step = piece.partition("/")
    if step:
        every, why = _read(step)
        if why or not every:
            return why or f"step of range should be a positive number: {piece}"
    if span in ("*", "?"):
        return ""
    ends = []
    for text in span.split("-"):
        value = _NAMED.get(place, {}).get(text.lower())
        if value is None:
            value, why = _read(text)
            if why:
                return why
        ends.append(value)
    first, last = ends[0], ends[-1]
    if first < low:
        return f"beginning of range ({first}) below minimum ({low}): {piece}"
    if last > high:
        return f"end of range ({last}) above maximum ({high}): {piece}"
    return f"beginning of range ({first}) beyond end of range ({last}): {piece}" if first > last else ""


def _read(text: str) -> tuple[int, str]:
    """A number, and what is wrong with it, "" when it is fine."""
    number = whole(text)
    if number is None or number >= INT64:
        why = "invalid syntax" if number is None else "value out of range"
        return 0, f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": {why}'
    return number, f"negative number ({number}) not allowed: {text}" if number < 0 else ""

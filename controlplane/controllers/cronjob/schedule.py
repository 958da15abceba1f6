"""The times that a cron schedule names, with the meaning that upstream's parser gives it. Pure.

The search for times is cronsim's, and this is its only door. Fields are spelled out before, since dialects differ: with
upstream a day has to match both day fields only where one of them is a plain `*` or `?` (`*/2` is none), and a
time that the clocks skip is skipped, one that they repeat comes twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DURATION = re.compile(r"([0-9.]+)(ns|us|ms|s|m|h)", re.ASCII)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# No time within so many years: there is none (29 February comes at least every eight).
YEARS = 8


@dataclass(frozen=True)
class Schedule:
    """`fields` as cronsim reads them, in `zone`; or `every` so many seconds."""

    fields: str
    zone: tzinfo
    every: float = 0.0

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than `moment`, in UTC; None where there is none."""
        if self.every:
            return moment.replace(microsecond=0) + timedelta(seconds=self.every)
        try:
            # Six fields: with five, cronsim would move times that the clocks skip.
            found: datetime = next(CronSim(f"0 {self.fields}", moment.astimezone(self.zone)))
        except (CronSimError, StopIteration):
            return None
        found = found.astimezone(timezone.utc)
        return found if found - moment < timedelta(days=366 * YEARS) else None


def parse(text: str, zone: str | None, local: tzinfo) -> Schedule:
    """`zone`: spec.timeZone; `local`: that of this process, for schedules without one. ValueError says why not."""
    where: tzinfo = local
    if text.startswith(("TZ=", "CRON_TZ=")):
        named, _, text = text.partition(" ")
        where, text = zone_of(named.partition("=")[2]), text.strip()
    elif zone is not None:
        where = zone_of(zone)
    if text.startswith("@every "):
        seconds = sum(float(n) * _SECONDS[unit] for n, unit in _DURATION.findall(text))
        return Schedule("", where, max(float(int(seconds)), 1.0))
    parts = _MACROS.get(text, text).split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    return Schedule(" ".join(_spelled(part, *field) for part, field in zip(parts, _FIELDS, strict=True)), where)


def zone_of(name: str) -> tzinfo:
    """ValueError for a zone that nobody knows."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name}") from error


def _spelled(text: str, low: int, high: int, named: dict[str, int]) -> str:
    """A field as `*` or a list of its numbers."""
    numbers: set[int] = set()
    for piece in text.split(","):
        span, _, step = piece.partition("/")
        pace = int(step or 1)
        if pace < 1:
            raise ValueError(f"step of range should be a positive number: {piece}")
        if span in ("*", "?"):
            if pace == 1:
                return "*"
            numbers.update(range(low, high + 1, pace))
            continue
        first, *rest = (named[t] if (t := end.lower()) in named else int(end) for end in span.split("-"))
        last = rest[0] if rest else (high if step else first)
        if not low <= first <= last <= high:
            raise ValueError(f"range out of bounds: {piece}")
        numbers.update(range(first, last + 1, pace))
    return ",".join(map(str, sorted(numbers)))

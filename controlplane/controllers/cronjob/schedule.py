"""The times that a cron schedule names, with the meaning that upstream's parser gives it. Pure.

The search for times is cronsim's, and this is its only door. Fields are spelled out before, since dialects differ: with
upstream a day has to match both day fields only where one of them is a plain `*` or `?` (`*/2` is none), and a
time that the clocks skip is skipped, one that they repeat comes twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from apimachinery import cron

# No time within so many years: there is none (29 February comes at least every eight).
YEARS = 8


@dataclass(frozen=True)
class Schedule:
    """`fields` as cronsim reads them, in `zone`, "" for no time at all; or `every` so many seconds."""

    fields: str
    zone: tzinfo
    every: int = 0

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than `moment`, in UTC; None where there is none."""
        if self.every:
            return moment.replace(microsecond=0) + timedelta(seconds=self.every)
        if not self.fields:
            return None
        try:
            # Six fields: with five, cronsim would move times that the clocks skip.
            found: datetime = next(CronSim(f"0 {self.fields}", moment.astimezone(self.zone)))
        except (CronSimError, StopIteration):
            return None
        found = found.astimezone(timezone.utc)
        return found if found - moment < timedelta(days=366 * YEARS) else None


def parse(text: str, zone: str | None, local: tzinfo) -> Schedule:
    """`zone`: spec.timeZone; `local`: that of this process, for schedules without one. ValueError says why not."""
    found = cron.read(text)
    named = zone if found.zone is None else found.zone
    where = local if named is None else zone_of(named, local)
    return Schedule("" if found.every else _spelled(found.fields), where, found.every)


def zone_of(name: str, local: tzinfo = timezone.utc) -> tzinfo:
    """`local`: what the name Local stands for. ValueError for a zone that nobody knows."""
    if wrong := cron.zone_error(name):
        raise ValueError(wrong)
    return local if name == "Local" else ZoneInfo(name or "UTC")


def _spelled(fields: tuple[frozenset[int] | None, ...]) -> str:
    """Each as `*` or a list of its numbers; "" where no time meets them all."""
    *rest, day, month, weekday = fields
    if day is not None and weekday is not None and bool(day) != bool(weekday):
        # Either is enough, and one of them is never met: it counts for as little as a star beside the other.
        day, weekday = day or None, weekday or None
    found = (*rest, day, month, weekday)
    if any(numbers is not None and not numbers for numbers in found):
        return ""
    return " ".join("*" if numbers is None else ",".join(map(str, sorted(numbers))) for numbers in found)

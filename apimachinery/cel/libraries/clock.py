"""Parts of timestamps and durations. Source: doc/langdef.md of google/cel-spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from apimachinery.cel.types.declare import function
from apimachinery.cel.types.kinds import Overload
from apimachinery.cel.values.times import SECOND, Duration, Timestamp, zone

_PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
    "getMilliseconds": lambda moment: moment.microsecond // 1000,
}
_UNITS = {
    "getHours": 3600 * SECOND,
    "getMinutes": 60 * SECOND,
    "getSeconds": SECOND,
    "getMilliseconds": 10**6,
}


def _of(name: str, part: Callable[[datetime], int]) -> Iterator[Overload]:
    def in_utc(moment: Timestamp) -> int:
        return part(moment.at())

    def in_zone(moment: Timestamp, where: str) -> int:
        return part(moment.at(zone(where)))

    yield function(f"timestamp.{name}() -> int", in_utc)
    yield function(f"timestamp.{name}(string) -> int", in_zone)


def _whole(unit: int) -> Callable[[Duration], int]:
    return lambda given: given.whole(unit)


FUNCTIONS: tuple[Overload, ...] = (
    *(overload for name, part in _PARTS.items() for overload in _of(name, part)),
    *(function(f"duration.{name}() -> int", _whole(unit)) for name, unit in _UNITS.items()),
)

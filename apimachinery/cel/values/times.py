"""Timestamps and durations, to the billionth of a second. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apimachinery import duration as go_duration
from apimachinery.cel.values.faults import EvaluationError
from apimachinery.cel.values.numbers import MAX_INT, MIN_INT

SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# From year 1 to year 9999.
_FIRST, _LAST = -62135596800, 253402300799
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


@dataclass(frozen=True, order=True)
class Duration:
    """nanos: billionths of a second."""

    nanos: int

    def __post_init__(self) -> None:
        if not MIN_INT <= self.nanos <= MAX_INT:
            raise EvaluationError("duration overflow")

    def text(self) -> str:
        """Seconds, as `string()` tells them."""
        sign, nanos = ("-" if self.nanos < 0 else ""), abs(self.nanos)
        seconds, rest = divmod(nanos, SECOND)
        return f"{sign}{seconds}" + (f".{rest:09d}".rstrip("0") if rest else "") + "s"

    def whole(self, unit: int) -> int:
        """Whole units, towards zero."""
        return self.nanos // unit if self.nanos >= 0 else -(-self.nanos // unit)


@dataclass(frozen=True, order=True)
class Timestamp:
    """nanos: billionths of a second since 1970."""

    nanos: int

    def __post_init__(self) -> None:
        if not _FIRST * SECOND <= self.nanos < (_LAST + 1) * SECOND:
            raise EvaluationError("timestamp overflow")

    def at(self, zone: tzinfo = timezone.utc) -> datetime:
        """The moment in a zone, cut to microseconds."""
        try:
            return (_EPOCH + timedelta(microseconds=self.nanos // 1000)).astimezone(zone)
        except OverflowError as error:
            raise EvaluationError("timestamp overflow") from error

    def text(self) -> str:
        seconds, rest = divmod(self.nanos, SECOND)
        moment = _EPOCH + timedelta(seconds=seconds)
        return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + (f".{rest:09d}".rstrip("0") if rest else "") + "Z"


def parse_timestamp(text: str) -> Timestamp:
    """Raises EvaluationError."""
    match = _RFC3339.fullmatch(text)
    if match is not None:
        day, clock, fraction, offset = match.groups()
        try:
            moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset == 'Z' else offset}")
        except ValueError:
            moment = None
        if moment is not None:
            elapsed = moment - _EPOCH
            seconds = elapsed.days * 86400 + elapsed.seconds
            return Timestamp(seconds * SECOND + int((fraction or "0")[:9].ljust(9, "0")))
    raise EvaluationError("invalid timestamp")


def parse_duration(text: str) -> Duration:
    """Raises EvaluationError with upstream's words."""
    try:
        return Duration(go_duration.nanoseconds(text))
    except go_duration.DurationError as error:
        raise EvaluationError(str(error)) from error


def zone(name: str) -> tzinfo:
    """A zone by its name or its offset. Raises EvaluationError."""
    match = _OFFSET.fullmatch(name)
    if match is not None:
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            return timezone(-offset if sign == "-" else offset)
        except ValueError as error:
            raise EvaluationError(f"unknown time zone {name}") from error
    try:
        return timezone.utc if name in ("", "UTC") else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise EvaluationError(f"unknown time zone {name}") from error

"""The CRI log format: `RFC3339Nano stdout|stderr P|F text`; pure.

Source: the CRI logging design. P marks a line the runtime split; its newline comes with the last part.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import datetime

_TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$")
_NANO = 1_000_000_000


@dataclass(frozen=True)
class Options:
    """What the client asked for; None where it did not."""

    follow: bool = False
    tail_lines: int | None = None
    since_ns: int | None = None
    """Nanoseconds since 1970."""
    limit_bytes: int | None = None
    timestamps: bool = False
    stream: str = ""
    """stdout, stderr, or empty for both."""


@dataclass(frozen=True)
class Line:
    """`text` ends in a newline unless `partial`."""

    stamp: bytes
    stream: bytes
    partial: bool
    text: bytes


def parse(raw: bytes) -> Line | None:
    """One line of a log file, its newline included; None where it is none of the format."""
    parts = raw.split(b" ", 3)
    if len(parts) != 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    stamp, stream, tags, text = parts
    partial = tags.split(b":", 1)[0] == b"P"
    if partial:
        text = text[:-1] if text.endswith(b"\n") else text
    elif not text.endswith(b"\n"):
        text += b"\n"
    return Line(stamp, stream, partial, text)


def stamp_ns(stamp: bytes) -> int | None:
    """A log's time as nanoseconds since 1970."""
    match = _TIME.match(stamp)
    if match is None:
        return None
    seconds = calendar.timegm(datetime.fromisoformat(match.group(1).decode()).timetuple())
    zone = match.group(3)
    if zone != b"Z":
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds -= offset if zone[:1] == b"+" else -offset
    return seconds * _NANO + int((match.group(2) or b"0").ljust(9, b"0"))


def fixed_stamp(stamp: bytes) -> bytes:
    """The same time with all nine digits, as clients get it."""
    match = _TIME.match(stamp)
    if match is None:
        return stamp
    return match.group(1) + b"." + (match.group(2) or b"").ljust(9, b"0") + match.group(3)


def since_of(now: datetime, seconds: int | None, moment: datetime | None) -> int | None:
    """sinceSeconds or sinceTime as nanoseconds since 1970."""
    if moment is not None:
        return calendar.timegm(moment.utctimetuple()) * _NANO + moment.microsecond * 1000
    if seconds is not None:
        return int((now.timestamp() - seconds) * _NANO)
    return None


class Formatter:
    """Lines in, the client's bytes out; remembers where a split line began and how much was sent."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._continued: set[bytes] = set()
        self.full = False

    def format(self, raw: bytes) -> bytes:
        """The bytes for one raw line, empty where it is not wanted; `full` once the limit is reached."""
        line = parse(raw)
        if line is None:
            return b""
        options = self._options
        if options.stream and line.stream != options.stream.encode():
            return b""
        if options.since_ns is not None:
            moment = stamp_ns(line.stamp)
            if moment is not None and moment < options.since_ns:
                return b""
        continued = line.stream in self._continued
        (self._continued.add if line.partial else self._continued.discard)(line.stream)
        text = line.text
        if options.timestamps and not continued:
            text = fixed_stamp(line.stamp) + b" " + text
        return self._limit(text)

    def _limit(self, text: bytes) -> bytes:
        if self._left is None:
            return text
        text = text[: self._left]
        self._left -= len(text)
        self.full = self._left <= 0
        return text

"""Durations as upstream's clients and settings write them: `1h30m`, `1.5s`, `-20ms`, `0` (Go's time.Duration)."""

from __future__ import annotations

import re

from apimachinery.errors import quoted

__all__ = ["DurationError", "nanoseconds", "seconds"]

_PART = re.compile(r"(?P<number>[0-9]*(?:\.[0-9]*)?)(?P<unit>[^0-9.]*)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_MOST = 1 << 63
# More digits than any duration has; what is longer is refused before anybody computes with it.
_LONGEST = 256


class DurationError(ValueError):
    """A text that is no duration; the message is upstream's."""


def seconds(text: str) -> float:
    """The seconds that a text means. Raises DurationError."""
    return nanoseconds(text) / 1e9


def nanoseconds(text: str) -> int:
    """The billionths of a second that a text means. Raises DurationError."""
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    if unsigned == "0":
        return 0
    if not unsigned or len(unsigned) > _LONGEST:
        raise _invalid(text)
    total = at = 0
    while at < len(unsigned):
        part = _PART.match(unsigned, at)
        assert part is not None
        number, unit = part["number"], part["unit"]
        if number in ("", "."):
            raise _invalid(text)
        if not unit:
            raise DurationError(f"time: missing unit in duration {quoted(text)}")
        if unit not in _UNITS:
            raise DurationError(f"time: unknown unit {quoted(unit)} in duration {quoted(text)}")
        whole, _, fraction = number.partition(".")
        total += int(whole or "0") * _UNITS[unit] + int(fraction or "0") * _UNITS[unit] // 10 ** len(fraction)
        at = part.end()
    # The most negative one has no positive counterpart.
    if total > _MOST or (total == _MOST and text[0] != "-"):
        raise _invalid(text)
    return -total if text[0] == "-" else total


def _invalid(text: str) -> DurationError:
    return DurationError(f"time: invalid duration {quoted(text)}")

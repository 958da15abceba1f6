"""metav1.Time and metav1.MicroTime: RFC 3339 in UTC with whole seconds, and with six digits of fraction."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


def now() -> datetime:
    """The present, aware, in UTC."""
    return datetime.now(timezone.utc)


def format_time(moment: datetime) -> str:
    """`2026-01-02T03:04:05Z`"""
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")[:-6] + "Z"


def format_micro(moment: datetime) -> str:
    """`2026-01-02T03:04:05.000006Z`"""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """Read either form (any fraction, cut to microseconds; any offset). Raises ValueError otherwise."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    seconds, fraction, offset = match.groups()
    micros = (fraction or "0")[:6].ljust(6, "0")
    zone = "+00:00" if offset == "Z" else offset
    return datetime.fromisoformat(f"{seconds}.{micros}{zone}").astimezone(timezone.utc)

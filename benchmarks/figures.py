"""How numbers are come by and shown: a row a measurement, medians and the worst, beside what they are held against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def head(unit: str) -> str:
    """The line above the rows."""
    return f"{'':<52}{'p50':>9}{'p99':>9}{'min':>9}   {unit}"


def row(label: str, values: Sequence[float], *, scale: float = 1.0) -> str:
    """One measurement; `scale` turns the values into the unit of the head."""
    if not values:
        return f"{label:<52}{'-':>9}{'-':>9}{'-':>9}   n=0"
    middle, worst, best = statistics.median(values), percentile(values, 0.99), min(values)
    return f"{label:<52}{middle * scale:9.3f}{worst * scale:9.3f}{best * scale:9.3f}   n={len(values)}"


def processor_seconds(pid: int) -> float:
    """Processor time that a process with all its threads has had: its clock, as clock_getcpuclockid(3) makes it."""
    return time.clock_gettime(~pid << 3 | 2)

"""When processes began. Source: proc(5)."""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from pathlib import Path

PROC = Path("/proc")


def start_ticks(pid: int) -> int:
    """When the process was started, in clock ticks since boot; 0 when there is none (or a zombie).

    With the pid it names one process for ever, although pids are used again.
    """
    try:
        fields = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def moment(ticks: int) -> datetime:
    """The time of day that was so many clock ticks after the boot, in UTC."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return datetime.fromtimestamp(time.time() - age, timezone.utc)

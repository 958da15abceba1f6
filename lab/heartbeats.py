"""Whether the agent that runs now tells of a node: what an earlier one said of it says nothing of this one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from apimachinery.kit import births
from apimachinery.objects import Obj, condition
from apimachinery.timestamps import parse_time
from lab import processes


def agent_began(settings: Path) -> datetime | None:
    """When the agent with this settings file was started; None while there is none."""
    ticks = [births.start_ticks(pid) for pid in processes.daemons_of(settings)]
    return births.moment(max(ticks)) if any(ticks) else None


def said_since(node: Obj, began: datetime) -> bool:
    """Whether the node's agent has posted a status since; heartbeats have whole seconds, and this machine's clock."""
    told = str((condition(node, "Ready") or {}).get("lastHeartbeatTime") or "")
    return bool(told) and parse_time(told) >= began.replace(microsecond=0)

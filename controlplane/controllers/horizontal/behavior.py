"""How fast a number of replicas may change: stabilisation windows and policies (KEP-853). Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from apimachinery.objects import Obj

# Without a behaviour of its own: five minutes for shrinking, at most twofold (four at least) for growing.
DOWNSCALE = timedelta(minutes=5)
GROWTH, LEAST_GROWTH = 2, 4


@dataclass(frozen=True)
class History:
    """What was recommended, and by how much was scaled up and down, each with its time."""

    recommended: tuple[tuple[datetime, int], ...] = ()
    up: tuple[tuple[datetime, int], ...] = ()
    down: tuple[tuple[datetime, int], ...] = ()

    def trimmed(self, now: datetime) -> History:
        """Without what no window reaches (an hour is the longest that the API lets anybody ask for)."""
        limit = now - timedelta(hours=1)
        kept = [tuple(e for e in events if e[0] >= limit) for events in (self.recommended, self.up, self.down)]
        return History(*kept)


@dataclass(frozen=True)
class Limited:
    """The number that may be, and why: (reason, message) of AbleToScale and ScalingLimited."""

    replicas: int
    able: tuple[str, str]
    limited: tuple[bool, str, str]


@dataclass(frozen=True)
class Bounds:
    least: int
    most: int
    behavior: Obj = field(default_factory=dict)


_READY = ("ReadyForNewScale", "recommended size matches current size")
_WITHIN = "the desired count is within the acceptable range"


def limited(current: int, desired: int, bounds: Bounds, history: History, now: datetime) -> Limited:
    """`desired` by the metrics; `history` without it."""
    stable, able = _stabilised(current, desired, bounds, history, now)
    lower, upper = bounds.least, bounds.most
    low = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
    high = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
    up, down = _limits(current, bounds, history, now)
    if up < upper:
        upper = up
        high = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
    if down > lower:
        lower = down
        low = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
    if stable > upper:
        return Limited(upper, able, (True, *high))
    if stable < lower:
        return Limited(lower, able, (True, *low))
    return Limited(stable, able, (False, "DesiredWithinRange", _WITHIN))


def _stabilised(
    current: int, desired: int, bounds: Bounds, history: History, now: datetime
) -> tuple[int, tuple[str, str]]:
    """Growing waits for the lowest recent recommendation, shrinking for the highest."""
    rules = bounds.behavior
    windows = {
        "scaleUp": timedelta(seconds=(rules.get("scaleUp") or {}).get("stabilizationWindowSeconds") or 0),
        "scaleDown": DOWNSCALE,
    }
    own = (rules.get("scaleDown") or {}).get("stabilizationWindowSeconds")
    if own is not None:
        windows["scaleDown"] = timedelta(seconds=own)
    lowest = min([desired, *(n for t, n in history.recommended if t > now - windows["scaleUp"])])
    highest = max([desired, *(n for t, n in history.recommended if t > now - windows["scaleDown"])])
    stable = min(max(current, lowest), highest)
    if stable == desired:
        return stable, _READY
    if desired >= current:
        text = "recent recommendations were lower than current one, applying the lowest recent recommendation"
        return stable, ("ScaleUpStabilized", text)
    text = "recent recommendations were higher than current one, applying the highest recent recommendation"
    return stable, ("ScaleDownStabilized", text)


def _limits(current: int, bounds: Bounds, history: History, now: datetime) -> tuple[int, int]:
    """The most and the fewest that policies let there be now."""
    if not bounds.behavior:
        return max(GROWTH * current, LEAST_GROWTH), 0
    up = _reached(current, bounds.behavior.get("scaleUp") or {}, history, now, 1)
    down = _reached(current, bounds.behavior.get("scaleDown") or {}, history, now, -1)
    return max(up, current), min(down, current)


def _reached(current: int, rules: Obj, history: History, now: datetime, sign: int) -> int:
    choice = rules.get("selectPolicy") or "Max"
    if choice == "Disabled":
        return current
    proposals = []
    for policy in rules.get("policies") or ():
        since = now - timedelta(seconds=policy["periodSeconds"])
        start = current - _sum(history.up, since) + _sum(history.down, since)
        if policy["type"] == "Pods":
            proposals.append(start + sign * policy["value"])
        else:
            # Rounded away from no change at all when growing, as upstream.
            moved = start * (1 + sign * policy["value"] / 100)
            proposals.append(math.ceil(moved) if sign > 0 else int(moved))
    if not proposals:
        return current
    return int(max(proposals) if (choice == "Max") == (sign > 0) else min(proposals))


def _sum(events: Sequence[tuple[datetime, int]], since: datetime) -> int:
    return sum(change for moment, change in events if moment > since)

"""What a DELETE does to an object: gone at once, marked and kept, or nothing more. Pure.

Source: the API's documented deletion (finalizers, propagation policy, grace periods, preconditions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, parse_time
from controlplane.apiserver.catalog.strategy import Strategy

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


@dataclass(frozen=True)
class Verdict:
    """store: what is to be written first, if anything; remove: the object is to go (after that write)."""

    remove: bool
    store: Obj | None = None


_NOTHING = Verdict(False)


def plan(obj: Obj, options: Obj, strategy: Strategy, now: datetime) -> Verdict:
    """obj is a private copy and may be changed."""
    metadata = obj["metadata"]
    leaving, period = "deletionTimestamp" in metadata, 0
    if leaving and strategy.holds(obj):
        return _NOTHING
    # What has no time left, but finalizers, goes like anything else.
    grace = strategy.grace if not leaving or metadata.get("deletionGracePeriodSeconds") else None
    if grace is not None:
        begun = _begin_grace(obj, options.get("gracePeriodSeconds"), grace, now)
        if begun is None:
            return _NOTHING
        period = begun
    before = list(metadata.get("finalizers") or ())
    finalizers = _finalizers(before, options, strategy)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    kept = bool(finalizers) or strategy.holds(obj)
    if grace is not None:
        return Verdict(not kept and period == 0, obj)
    if not kept:
        return Verdict(True)
    if not leaving:
        _mark(metadata, 0, now)
        strategy.deleting(obj)
        return Verdict(False, obj)
    stands = finalizers == before and metadata.get("deletionGracePeriodSeconds") == 0
    metadata["deletionGracePeriodSeconds"] = 0
    return Verdict(False, None if stands else obj)


def _mark(metadata: Obj, seconds: int, now: datetime) -> None:
    metadata["deletionTimestamp"] = format_time(now + timedelta(seconds=seconds))
    metadata["deletionGracePeriodSeconds"] = seconds
    if metadata.get("generation"):
        metadata["generation"] += 1


def _begin_grace(obj: Obj, asked: int | None, grace: Callable[[Obj, int | None], int], now: datetime) -> int | None:
    """Set or shorten the time left; None when a deletion under way is to go on as it is."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata:
        first = grace(obj, asked)
        _mark(metadata, first, now)
        return first
    standing: int = metadata["deletionGracePeriodSeconds"]
    if asked is None:
        return None
    period = 1 if asked < 0 else asked
    if period >= standing:
        return None
    end = parse_time(metadata["deletionTimestamp"]) + timedelta(seconds=period - standing)
    if end < now:
        # The shorter time is over already. Who asked for any at all leaves the last word to the node all the same.
        end, period = now, min(period, 1)
    metadata["deletionTimestamp"] = format_time(end)
    metadata["deletionGracePeriodSeconds"] = period
    return period


def _finalizers(before: list[str], options: Obj, strategy: Strategy) -> list[str]:
    orphan, foreground = _wanted(before, options, strategy)
    kept = [f for f in before if f not in (ORPHAN, FOREGROUND)]
    if orphan:
        kept.append(ORPHAN)
    if foreground:
        kept.append(FOREGROUND)
    return before if set(kept) == set(before) else kept


def _wanted(before: list[str], options: Obj, strategy: Strategy) -> tuple[bool, bool]:
    """Whether dependents are to be orphaned, and whether they are to go first."""
    if strategy.dependents == "unheard":
        return False, False
    if (old_style := options.get("orphanDependents")) is not None:
        return bool(old_style), False
    policy: Any = options.get("propagationPolicy")
    if policy is not None:
        return policy == "Orphan", policy == "Foreground"
    if ORPHAN in before or FOREGROUND in before:
        return ORPHAN in before, FOREGROUND in before
    return strategy.dependents == "stay", False

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
    period = 0
    if strategy.grace is not None:
        begun = _begin_grace(obj, options.get("gracePeriodSeconds"), strategy.grace, now)
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
    if strategy.grace is not None:
        return Verdict(not kept and period == 0, obj)
    if not kept:
        return Verdict(True)
    if "deletionTimestamp" not in metadata:
        _mark(metadata, 0, now)
        strategy.deleting(obj)
        return Verdict(False, obj)
    return Verdict(False, obj if finalizers != before else None)


def _mark(metadata: Obj, seconds: int, now: datetime) -> None:
    metadata["deletionTimestamp"] = format_time(now + timedelta(seconds=seconds))
    metadata["deletionGracePeriodSeconds"] = seconds
    if metadata.get("generation"):
        metadata["generation"] += 1


def _begin_grace(obj: Obj, asked: int | None, grace: Callable[[Obj, int | None], int], now: datetime) -> int | None:
    """Set or shorten the time left; None when a deletion under way is to go on as it is."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata:
        period = grace(obj, asked)
        _mark(metadata, period, now)
        return period
    standing: int = metadata.get("deletionGracePeriodSeconds") or 0
    if asked is None or asked >= standing:
        return None
    started = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=standing)
    metadata["deletionTimestamp"] = format_time(started + timedelta(seconds=asked))
    metadata["deletionGracePeriodSeconds"] = asked
    return asked


def _finalizers(before: list[str], options: Obj, strategy: Strategy) -> list[str]:
    orphan, foreground = _wanted(before, options, strategy)
    kept = [f for f in before if f not in (ORPHAN, FOREGROUND)]
    if orphan:
        kept.append(ORPHAN)
    if foreground:
        kept.append(FOREGROUND)
    return before if set(kept) == set(before) else kept


def _wanted(before: list[str], options: Obj, strategy: Strategy) -> tuple[bool, bool]:
    if (old_style := options.get("orphanDependents")) is not None:
        return bool(old_style), False
    policy: Any = options.get("propagationPolicy")
    if policy is not None:
        return policy == "Orphan", policy == "Foreground"
    if ORPHAN in before or FOREGROUND in before:
        return ORPHAN in before, FOREGROUND in before
    return strategy.default_orphan, False

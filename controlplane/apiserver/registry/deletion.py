"""What a DELETE does to an object: gone at once, marked and kept, or nothing more. Pure.

Source: the API's documented deletion (finalizers, propagation policy, grace periods, preconditions).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apimachinery.timestamps import format_time, parse_time
from controlplane.apiserver.registry.strategy import Strategy
from controlplane.apiserver.request import Obj

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


@dataclass(frozen=True)
class Verdict:
    """remove: take it out of the store. Otherwise obj, when not None, is to be stored instead."""

    remove: bool
    obj: Obj | None = None


def plan(obj: Obj, options: Obj, strategy: Strategy, now: datetime) -> Verdict:
    """obj is a private copy and may be changed."""
    metadata = obj["metadata"]
    before = list(metadata.get("finalizers") or ())
    finalizers = _finalizers(before, options, strategy, deleting="deletionTimestamp" in metadata)
    changed = finalizers != before
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    asked: int | None = options.get("gracePeriodSeconds")
    grace = strategy.grace(obj, asked) if strategy.grace else None
    if "deletionTimestamp" in metadata:
        shorter = _shorten(metadata, grace, now, graceful=strategy.grace is not None)
        if grace is not None and metadata.get("deletionGracePeriodSeconds", 0) > 0:
            return Verdict(False, obj if shorter or changed else None)
        if strategy.grace is not None and grace == 0 and not finalizers:
            return Verdict(True)
        if finalizers:
            return Verdict(False, obj if shorter or changed else None)
        return Verdict(True)
    seconds = grace or 0
    if not seconds and not finalizers:
        return Verdict(True)
    metadata["deletionTimestamp"] = format_time(now + timedelta(seconds=seconds))
    metadata["deletionGracePeriodSeconds"] = seconds
    if metadata.get("generation"):
        metadata["generation"] += 1
    return Verdict(False, obj)


def _shorten(metadata: Obj, grace: int | None, now: datetime, graceful: bool) -> bool:
    """A later DELETE can only bring the end nearer."""
    standing: int = metadata.get("deletionGracePeriodSeconds") or 0
    if not graceful or grace is None or grace >= standing:
        return False
    begun = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=standing)
    metadata["deletionTimestamp"] = format_time(max(now, begun) + timedelta(seconds=grace))
    metadata["deletionGracePeriodSeconds"] = grace
    return True


def _finalizers(before: list[str], options: Obj, strategy: Strategy, deleting: bool) -> list[str]:
    orphan, foreground = _wanted(before, options, strategy)
    kept = [f for f in before if f not in (ORPHAN, FOREGROUND)]
    if orphan:
        kept.append(ORPHAN)
    if foreground:
        kept.append(FOREGROUND)
    return kept


def _wanted(before: list[str], options: Obj, strategy: Strategy) -> tuple[bool, bool]:
    if (old_style := options.get("orphanDependents")) is not None:
        return bool(old_style), False
    policy: Any = options.get("propagationPolicy")
    if policy is not None:
        return policy == "Orphan", policy == "Foreground"
    if ORPHAN in before or FOREGROUND in before:
        return ORPHAN in before, FOREGROUND in before
    return strategy.default_orphan, False

"""Scores on one scale."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.scheduler.framework import MAX_SCORE


def scale(scores: Sequence[float], reverse: bool = False) -> list[float]:
    """Integers 0..MAX_SCORE in proportion to the highest; reversed, the lowest raw score is best."""
    top = max(scores, default=0)
    if top == 0:
        return [MAX_SCORE if reverse else 0] * len(scores)
    scaled = [MAX_SCORE * value // top for value in scores]
    return [MAX_SCORE - value for value in scaled] if reverse else scaled

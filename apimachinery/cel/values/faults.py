"""What can go wrong in an evaluation. Pure."""

from __future__ import annotations


class EvaluationError(Exception):
    """An expression has no value; the message is upstream's. `&&`, `||` and loops over them can absorb it."""


class CostExceeded(Exception):
    """An evaluation was ended because it did more than it may; nothing absorbs it."""


def no_overload(function: str = "") -> EvaluationError:
    return EvaluationError(f"no such overload: {function}" if function else "no such overload")

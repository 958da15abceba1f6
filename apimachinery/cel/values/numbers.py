"""Whole numbers of 64 bits, and comparing numbers of different types. Pure.

A bool is no number here, though Python's is one.
"""

from __future__ import annotations

import math
from typing import Any

from apimachinery.cel.values.faults import EvaluationError

MIN_INT, MAX_INT = -(1 << 63), (1 << 63) - 1
MAX_UINT = (1 << 64) - 1


class UInt(int):
    """A whole number without sign."""

    def __repr__(self) -> str:
        return f"{int(self)}u"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def signed(value: int) -> int:
    """A number of 64 bits. Raises EvaluationError."""
    if not MIN_INT <= value <= MAX_INT:
        raise EvaluationError("integer overflow")
    return value


def unsigned(value: int) -> UInt:
    """A number of 64 bits without sign. Raises EvaluationError."""
    if not 0 <= value <= MAX_UINT:
        raise EvaluationError("unsigned integer overflow")
    return UInt(value)


def like(first: int, value: int) -> int:
    """A number of the same type as the first."""
    return unsigned(value) if isinstance(first, UInt) else signed(value)


def truncated(value: float, low: int, high: int, fault: str) -> int:
    """A number without its fraction; the ends of the range do not belong to it, since they are not exact."""
    if not math.isfinite(value) or not low < value < high:
        raise EvaluationError(fault)
    return math.trunc(value)


def divided(first: int, second: int) -> int:
    """Whole division towards zero."""
    quotient = abs(first) // abs(second)
    return quotient if (first < 0) == (second < 0) else -quotient


def rest(first: int, second: int) -> int:
    """What remains of it, with the sign of the first."""
    return int(math.copysign(1, first)) * (abs(first) % abs(second))

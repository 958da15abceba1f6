"""Whole numbers as somebody else has written them down, in however many digits."""

from __future__ import annotations

import re

__all__ = ["INT64", "int64", "whole"]

INT64 = 1 << 63
"""The first number that is too large for 64 bits with a sign."""
_WHOLE = re.compile(r"([+-]?)([0-9]+)\Z")
# Python refuses to read thousands of digits, since that takes time in proportion to their square.
_MOST_DIGITS = 21


def whole(text: str) -> int | None:
    """The number of ASCII digits and perhaps a sign; None for what is anything else.

    One of more digits than any type here holds (10^21 and beyond) is another as large as that.
    """
    match = _WHOLE.match(text)
    if match is None:
        return None
    sign, digits = match.groups()
    return int(sign + (digits.lstrip("0") or "0")[: _MOST_DIGITS + 1])


def int64(text: str) -> int | None:
    """The same of a number that 64 bits with a sign hold; None for a larger one, too."""
    number = whole(text)
    return number if number is not None and -INT64 <= number < INT64 else None

"""Sizes and costs that are known to lie between two numbers of 64 bits, which they never leave. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

MOST = 2**64 - 1
# What it costs to go through a character of a text, and to be held to one of a regular expression.
TRAVERSAL, PATTERN = 0.1, 0.25


class Range(NamedTuple):
    least: int
    most: int

    def plus(self, other: Range) -> Range:
        return Range(min(self.least + other.least, MOST), min(self.most + other.most, MOST))

    def times(self, other: Range) -> Range:
        return Range(min(self.least * other.least, MOST), min(self.most * other.most, MOST))

    def scaled(self, factor: float) -> Range:
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.least, other.least), max(self.most, other.most))


def fixed(number: int) -> Range:
    return Range(number, number)


def _scaled(number: int, factor: float) -> int:
    product = float(number) * factor
    return MOST if product >= 2.0**64 else math.ceil(product)


UNKNOWN = Range(0, MOST)
NOTHING, ONE = fixed(0), fixed(1)
"""Costs nothing, and a step."""

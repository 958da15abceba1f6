"""What calls cost, by their arguments and results. Pure. Figures: upstream's cost tables, which are part of the API."""

from __future__ import annotations

import math
from typing import Any

from apimachinery.cel.evaluation.budget import traversal
from apimachinery.cel.values.kinds import size

Args = tuple[Any, ...]


def text(args: Args, _result: Any) -> int:
    """Going through the first argument."""
    return traversal(size(args[0]))


def twice(args: Args, _result: Any) -> int:
    """Going through the first argument and making something as long."""
    return traversal(size(args[0]) * 2)


def made(_args: Args, result: Any) -> int:
    return traversal(size(result) * 2)


def both(args: Args, _result: Any) -> int:
    return traversal(size(args[0]) + size(args[1]))


def shorter(args: Args, _result: Any) -> int:
    return traversal(min(size(args[0]), size(args[1])))


def inside(args: Args, _result: Any) -> int:
    """Looking for one text in another."""
    return traversal(size(args[0])) * traversal(size(args[1]))


def elements(args: Args, _result: Any) -> int:
    """Going through a list, and through its texts."""
    listed = args[0]
    if not isinstance(listed, list):
        return traversal(size(listed))
    total = 0
    for each in listed:
        total += traversal(len(each)) if isinstance(each, str | bytes) else 1
    return total


def in_list(args: Args, _result: Any) -> int:
    return size(args[1])


def pattern(args: Args, _result: Any) -> int:
    """A regular expression on a text."""
    return traversal(1 + size(args[0])) * math.ceil(size(args[1]) * 0.25)


def length(_args: Args, result: Any) -> int:
    return size(result) + 11


def squared(args: Args, _result: Any) -> int:
    """Comparing each element with each."""
    return 2 * size(args[0]) ** 2 + 11


def pairs(args: Args, _result: Any) -> int:
    """Comparing the elements of one list with those of another."""
    return size(args[0]) * size(args[1]) + 1

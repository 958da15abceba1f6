"""Lists of a Job's indexes, as in "0,3-5"."""

from __future__ import annotations

from apimachinery.numerals import INT64, whole

Interval = tuple[int, int]


def count(text: str, completions: int) -> tuple[int, str]:
    """How many indexes a text names, and what is wrong with it, "" when it is fine."""
    total, last = 0, -1
    for piece in text.split(",") if text else ():
        found = _interval(piece, completions)
        if isinstance(found, str):
            return 0, found
        first, end = found
        if last >= first:
            return 0, f"non-increasing order, previous: {last}, current: {first}"
        total, last = total + end - first + 1, end
    return total, ""


def shared(one: str, other: str, completions: int) -> int | None:
    """The first index that two lists have in common; what is no interval counts for nothing."""
    ours, theirs = (_intervals(text, completions) for text in (one, other))
    while ours and theirs:
        (first, last), (begin, end) = ours[0], theirs[0]
        if first <= end and begin <= last:
            return max(first, begin)
        (ours if first <= begin else theirs).pop(0)
    return None


def _intervals(text: str, completions: int) -> list[Interval]:
    found = (_interval(piece, completions) for piece in text.split(",") if text)
    return [interval for interval in found if not isinstance(interval, str)]


def _interval(piece: str, completions: int) -> Interval | str:
    ends = piece.split("-")
    if len(ends) > 2:
        what = "violates the requirement that an index interval can have at most two parts separated by '-'"
        return f'the fragment "{piece}" {what}'
    numbers = []
    for end in ends:
        number = whole(end)
        if number is None or number >= INT64:
            return f'cannot convert string to integer for index: "{end}"'
        if number >= completions:
            return f'too large index: "{end}"'
        numbers.append(number)
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        return f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}"
    return numbers[0], numbers[-1]

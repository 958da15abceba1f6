"""Numbers that may be given as a share of others (`25%`). Pure."""

from __future__ import annotations


def resolved(value: int | str, total: int, up: bool) -> int:
    """A number, or its share of `total` rounded up or down."""
    if isinstance(value, int):
        return value
    if value.endswith("%"):
        share = int(value[:-1]) * total
        return -(-share // 100) if up else share // 100
    return int(value)

"""What every selector that cannot be understood raises."""

from __future__ import annotations

__all__ = ["SelectorError"]


class SelectorError(ValueError):
    """The selector cannot be understood; the message is upstream's."""

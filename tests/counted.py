"""How much work something is, counted: calls are as many on a busy machine as on one that rests."""

from __future__ import annotations

import sys
from collections.abc import Callable


def calls(work: Callable[[], object]) -> int:
    """How many functions it calls, Python's own among them."""
    counted = 0

    def tally(_frame: object, event: str, _about: object) -> None:
        nonlocal counted
        counted += event.endswith("call")

    sys.setprofile(tally)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted

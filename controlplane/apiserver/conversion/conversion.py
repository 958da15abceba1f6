"""The way between the version that a kind's objects are stored under and another that shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apimachinery.objects import Obj


@dataclass(frozen=True)
class Conversion:
    """shown: a stored object as the other version; stored: the way back. Neither changes what it is given."""

    shown: Callable[[Obj], Obj]
    stored: Callable[[Obj], Obj]

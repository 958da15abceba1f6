"""What a plan has to say: events are values until its controller writes them."""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery.objects import Obj


@dataclass(frozen=True)
class Note:
    """An event. `kind`: Normal or Warning. `about`: the object, where that is another than the one that was planned."""

    kind: str
    reason: str
    message: str
    about: Obj | None = None

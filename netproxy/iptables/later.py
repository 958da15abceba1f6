"""The rules of Services' own chains, not kept but worked out again where they are asked for.

As text they are more than a kilobyte for a Service of two endpoints, which is written once, and asked for again when
the Service changes or somebody breaks a chain of it. The route that all of it follows from is kept anyway.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import ClassVar, overload

from netproxy.ground import Ground
from netproxy.iptables.plan import Key, Piece, Value, plan
from netproxy.model import Route

_WARM = 600
"""plans that stay known: more than are written at a time, so that none is worked out twice on its way"""


class _Planned:
    """What one route claims."""

    __slots__ = ("_ground", "_known", "_route")
    _warm: ClassVar[deque[_Planned]] = deque()

    def __init__(self, route: Route, ground: Ground) -> None:
        self._route, self._ground = route, ground
        self._known: dict[Key, Value] | None = None

    def known(self) -> dict[Key, Value]:
        """All of its pieces, with their texts."""
        if self._known is None:
            self._known = dict(plan(self._route, self._ground))
            self._warm.append(self)
            if len(self._warm) > _WARM:
                self._warm.popleft()._known = None
        return self._known


class Rules(Sequence[str]):
    """The rules of one chain."""

    __slots__ = ("_count", "_key", "_planned")

    def __init__(self, planned: _Planned, key: Key, count: int) -> None:
        self._planned, self._key, self._count = planned, key, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._planned.known()[self._key][index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._planned.known()[self._key])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # (as a list's)


def claims(route: Route, ground: Ground) -> tuple[Piece, ...]:
    """As `plan`, but for the chains of its own, whose rules are worked out when they are read."""
    planned = _Planned(route, ground)
    return tuple((k, v if k.rule else Rules(planned, k, len(v))) for k, v in planned.known().items())

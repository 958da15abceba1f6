"""Leases of etcd for what is to expire: one for all that is put within a while, as upstream does it.

A lease costs etcd more than a key. So each is used for a minute, or a twentieth of its time, and by a thousand keys; it
gets so much longer, that nothing goes before its time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_LONGEST_USE, _SHARE, _MOST_KEYS = 60.0, 0.05, 1000


@dataclass
class _Lease:
    id: int
    until: float
    keys: int = 0


class Leases:
    """grant: asks etcd for a lease of so many seconds and gives its id. clock: seconds."""

    def __init__(self, grant: Callable[[int], Awaitable[int]], clock: Callable[[], float] = time.monotonic) -> None:
        self._grant, self._clock = grant, clock
        self._held: dict[int, _Lease] = {}
        self._granting = asyncio.Lock()

    async def of(self, ttl: int) -> int:
        """The lease of a key that is to live for ttl seconds. Raises what grant raises."""
        async with self._granting:
            held, now = self._held.get(ttl), self._clock()
            if held is None or now > held.until or held.keys >= _MOST_KEYS:
                use = min(_LONGEST_USE, max(1.0, ttl * _SHARE))
                held = self._held[ttl] = _Lease(await self._grant(ttl + int(use)), now + use)
            held.keys += 1
            return held.id

    def forget(self) -> None:
        """Grant anew: etcd knows one of them no more."""
        self._held.clear()

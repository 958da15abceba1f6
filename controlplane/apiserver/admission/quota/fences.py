"""What keeps several servers of one store from passing a quota together.

Each server counts for itself what is stored, and hears of the others' writes a moment later. So a write that takes up
some of a quota moves a key of its namespace, in its own transaction, from where this server saw it last. Where another
server moved it meanwhile nothing is written: by then its write is counted here, and whether there is room is decided
anew. Of one server's own writes one at a time is on its way, for each would be in the next one's way.
"""

from __future__ import annotations

import asyncio

from controlplane.apiserver.cache.cache import NO_OBJECT
from controlplane.store import Put

# Seconds after which the store forgets one that nobody moves; a write is on its way for much less.
_KEPT = 3600


class Fence:
    """Of one namespace. at: the revision where it was seen last, up to which everything is counted; 0 for nowhere."""

    def __init__(self, namespace: str) -> None:
        self.key = f"{NO_OBJECT}quotafences/{namespace}"
        self.at = 0
        self.turn = asyncio.Lock()

    def move(self) -> Put:
        return Put(self.key, b"", self.at, _KEPT)


class Fences:
    """One for each namespace with quotas in which this server has stored something."""

    def __init__(self) -> None:
        self._of: dict[str, Fence] = {}

    def of(self, namespace: str) -> Fence:
        if namespace not in self._of:
            self._of[namespace] = Fence(namespace)
        return self._of[namespace]

    def forget(self, namespace: str) -> None:
        """It has no quota any more. Who is under way with one that is forgotten only loses more often."""
        self._of.pop(namespace, None)

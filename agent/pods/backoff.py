"""Doubling delays, by key, with a reset after calm. Pure but for what it remembers; times are passed in, in seconds.

Source: crash loops 10 s to 5 min, image pulls the same. Pulls are forgotten after twice the ceiling without a new
failure, crashes after ten minutes, however low the ceiling is set.
"""

from __future__ import annotations

from dataclasses import dataclass

INITIAL_SECONDS = 10.0
CEILING_SECONDS = 300.0
CRASHES_FORGOTTEN_SECONDS = 600.0


@dataclass
class _Entry:
    delay: float
    updated: float


class Backoff:
    """`forgotten`: seconds of calm after which a key starts anew; twice the ceiling where not said."""

    def __init__(
        self, initial: float = INITIAL_SECONDS, ceiling: float = CEILING_SECONDS, forgotten: float | None = None
    ) -> None:
        self._initial = initial
        self._ceiling = ceiling
        self._forgotten = 2 * ceiling if forgotten is None else forgotten
        self._entries: dict[str, _Entry] = {}

    def _stale(self, entry: _Entry, now: float) -> bool:
        return now - entry.updated > self._forgotten

    def until(self, key: str, since: float) -> float:
        """When `key` may be tried again, counted from `since` (the end of its last run); 0: at once."""
        entry = self._entries.get(key)
        if entry is None or self._stale(entry, since):
            return 0.0
        return since + entry.delay

    def waiting(self, key: str, now: float) -> float:
        """When `key` may be tried again, counted from its last `bump`; 0 when it may be now."""
        entry = self._entries.get(key)
        if entry is None or self._stale(entry, now) or now >= entry.updated + entry.delay:
            return 0.0
        return entry.updated + entry.delay

    def delay(self, key: str) -> float:
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def bump(self, key: str, now: float, since: float | None = None) -> None:
        """One more try: the next delay is twice as long. `since`: the end of the last run, where that and not now
        says how long it was calm."""
        entry = self._entries.get(key)
        if entry is None or self._stale(entry, now if since is None else since):
            self._entries[key] = _Entry(min(self._initial, self._ceiling), now)
        else:
            entry.delay, entry.updated = min(entry.delay * 2, self._ceiling), now

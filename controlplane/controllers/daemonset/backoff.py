"""How long failed pods of one DaemonSet on one node are left alone, so that kubelet and loop do not fight. Pure.

Upstream's: the first is replaced at once, the next after 1 s, 2 s, 4 s, … up to 15 minutes; what has been quiet for
twice as long as that begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST, LONGEST = 1.0, 900.0


@dataclass(frozen=True)
class Pause:
    """Since `begun` (seconds of any clock) for `seconds`."""

    begun: float
    seconds: float

    def left(self, now: float) -> float:
        """Seconds until a failed pod may be replaced."""
        return max(self.begun + self.seconds - now, 0.0)


def after(pause: Pause | None, now: float) -> Pause:
    """The pause that begins with the replacement of a failed pod."""
    if pause is None or now - pause.begun > 2 * LONGEST:
        return Pause(now, FIRST)
    return Pause(now, min(pause.seconds * 2, LONGEST))

"""What the probes of a pod's containers last decided."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ProbeVerdicts:
    """Container ids by what their probes last decided; a container in neither set has no verdict yet."""

    liveness_failed: frozenset[str] = frozenset()
    startup_failed: frozenset[str] = frozenset()
    startup_passed: frozenset[str] = frozenset()

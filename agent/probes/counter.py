"""Thresholds of a probe: how many equal results in a row change the verdict. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery.objects import Obj


@dataclass(frozen=True)
class ProbeSpec:
    """A probe's timing with upstream's defaults, seconds."""

    initial_delay: float = 0.0
    timeout: float = 1.0
    period: float = 10.0
    success_threshold: int = 1
    failure_threshold: int = 3

    @classmethod
    def of(cls, probe: Obj) -> ProbeSpec:
        return cls(
            initial_delay=float(probe.get("initialDelaySeconds") or 0),
            timeout=float(probe.get("timeoutSeconds") or 1),
            period=float(probe.get("periodSeconds") or 10),
            success_threshold=int(probe.get("successThreshold") or 1),
            failure_threshold=int(probe.get("failureThreshold") or 3),
        )


@dataclass(frozen=True)
class Count:
    """`verdict`: None before any threshold was reached; `run`: equal results in a row."""

    verdict: bool | None = None
    last: bool | None = None
    run: int = 0


def count(state: Count, success: bool, spec: ProbeSpec) -> Count:
    """The state after one more result."""
    run = state.run + 1 if state.last is success else 1
    threshold = spec.success_threshold if success else spec.failure_threshold
    return Count(success if run >= threshold else state.verdict, success, run)

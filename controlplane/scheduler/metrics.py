"""The scheduler's figures, under upstream's names."""

from __future__ import annotations

from apimachinery.kit import metrics

ATTEMPTS = metrics.counter("scheduler_schedule_attempts", "Attempts to schedule pods, by result", ("result", "profile"))
DURATION = metrics.histogram(
    "scheduler_scheduling_attempt_duration_seconds",
    "From the start of an attempt to its binding or refusal",
    ("result", "profile"),
)
PENDING = metrics.gauge("scheduler_pending_pods", "Pods without a node, by queue", ("queue",))


def attempt(result: str, profile: str, seconds: float) -> None:
    """Count one attempt that ended `scheduled`, `unschedulable` or `error`."""
    ATTEMPTS.labels(result, profile).inc()
    DURATION.labels(result, profile).observe(seconds)


def pending(counts: dict[str, int]) -> None:
    """Show how many pods wait in each queue."""
    for queue, count in counts.items():
        PENDING.labels(queue).set(count)

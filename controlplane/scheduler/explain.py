"""Why a pod has no node, in upstream's words."""

from __future__ import annotations

from collections import Counter

from controlplane.scheduler.cycle import Decision

NO_NODES = "no nodes available to schedule pods"
# Characters of an Event's note (upstream's NoteLengthLimit).
LONGEST_NOTE = 1024


def explain(decision: Decision, nodes: int, preemption: str = "") -> str:
    """The FailedScheduling text: `0/3 nodes are available: 3 Insufficient cpu. preemption: …`."""
    if not nodes:
        return NO_NODES
    text = f"0/{nodes} nodes are available:"
    if decision.everywhere:
        text += f" {decision.everywhere}."
    else:
        reasons = Counter(r for rejection in decision.rejections.values() for r in rejection.reason.split("\n"))
        missing = nodes - len(decision.rejections)
        if decision.absent is not None and missing > 0:
            reasons[decision.absent.reason] += missing
        if listed := listing(reasons):
            text += f" {listed}."
    return f"{text} {preemption}" if preemption else text


def listing(reasons: Counter[str]) -> str:
    """`2 Insufficient cpu, 1 Too many pods`, sorted as texts."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))


def note(text: str) -> str:
    """The text as an Event can hold it."""
    return text if len(text) <= LONGEST_NOTE else text[: LONGEST_NOTE - 4] + " ..."

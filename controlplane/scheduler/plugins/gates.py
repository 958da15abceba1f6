"""SchedulingGates: a pod with gates is not tried (KEP-3521)."""

from __future__ import annotations

from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import Plugin


class SchedulingGates(Plugin):
    name = "SchedulingGates"

    def pre_enqueue(self, pod: Pod) -> str | None:
        if not pod.gates:
            return None
        return f"waiting for scheduling gates: [{' '.join(pod.gates)}]"

    def sign(self, pod: Pod) -> tuple[()]:
        return ()

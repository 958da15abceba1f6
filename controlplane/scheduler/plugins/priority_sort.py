"""PrioritySort: the pod of the highest priority first, and of those the one that waits longest."""

from __future__ import annotations

from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import Plugin


class PrioritySort(Plugin):
    name = "PrioritySort"

    def queue_key(self, pod: Pod, added: float) -> tuple[int, float]:
        return -pod.priority, added

    def sign(self, pod: Pod) -> tuple[()]:
        return ()

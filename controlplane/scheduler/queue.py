"""Which pod is tried next, and when one that did not fit is tried again.

Three places: active (ready now, by priority then age), back-off (waiting out a pause) and unschedulable
(waiting for a change in the cluster that one of the plugins that refused it says may help). When nothing is
active, pods backing off after a refusal are tried early, as upstream does; those that met an error always
wait.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import Change

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 10.0
# Should a change be missed, nothing waits longer than this (upstream's flush of the unschedulable pods).
LONGEST_WAIT = 300.0


@dataclass
class Waiting:
    """A pod on its way. Times are monotonic seconds; `refused_by` names plugins of the last attempt."""

    pod: Pod
    added: float
    attempts: int = 0
    refused_by: frozenset[str] = frozenset()
    ready_at: float = 0.0
    since: float = 0.0
    place: str = "active"


def backoff(attempts: int) -> float:
    """Seconds to wait after so many attempts: 1, 2, 4, 8, 10, 10 …"""
    return min(FIRST_BACKOFF * 2.0 ** (max(attempts, 1) - 1), LONGEST_BACKOFF)


class Queue:
    """Pods without a node. `next_ready` says when to come back though nothing happened."""

    def __init__(self, helped_by: Callable[[str], frozenset[Change]]) -> None:
        self._helped_by = helped_by
        self._all: dict[str, Waiting] = {}
        # Heaps hold uids that may have moved on meanwhile; the entry in _all decides.
        self._active: list[tuple[int, float, str]] = []
        self._backoff: list[tuple[float, str]] = []
        self._errors: list[tuple[float, str]] = []
        # In the order of `since`, for a refused pod always enters at the end.
        self._unschedulable: dict[str, Waiting] = {}

    def __len__(self) -> int:
        return len(self._all)

    def counts(self) -> dict[str, int]:
        """Pods by place: active, backoff, unschedulable, gated."""
        result = dict.fromkeys(("active", "backoff", "unschedulable", "gated"), 0)
        for waiting in self._all.values():
            result[waiting.place] += 1
        return result

    def add(self, pod: Pod, now: float, gate: str | None) -> None:
        """A new pod, or a change of a waiting one (which may now fit, so it is tried again after its back-
        off).
        """
        waiting = self._all.get(pod.uid)
        if waiting is None:
            waiting = self._all[pod.uid] = Waiting(pod, now)
        elif waiting.pod == pod:
            return
        waiting.pod = pod
        if gate:
            self._unschedulable.pop(pod.uid, None)
            waiting.place = "gated"
        elif waiting.place in ("gated", "active"):
            self._activate(waiting)
        elif waiting.place == "unschedulable":
            self._retry(waiting, now)

    def remove(self, uid: str) -> None:
        self._all.pop(uid, None)
        self._unschedulable.pop(uid, None)

    def holds(self, uid: str) -> bool:
        return uid in self._all

    def refused(self, waiting: Waiting, plugins: frozenset[str], now: float) -> None:
        """No node took it: wait for a change that may help."""
        waiting.refused_by = plugins
        waiting.ready_at, waiting.since = now + backoff(waiting.attempts), now
        waiting.place = "unschedulable"
        self._all[waiting.pod.uid] = self._unschedulable[waiting.pod.uid] = waiting

    def failed(self, waiting: Waiting, now: float) -> None:
        """Trouble that is not the pod's fault (a binding that was refused, say): try again after the back-
        off.
        """
        waiting.ready_at = now + backoff(waiting.attempts)
        waiting.place = "backoff"
        self._all[waiting.pod.uid] = waiting
        heapq.heappush(self._errors, (waiting.ready_at, waiting.pod.uid))

    def changed(self, change: Change, now: float) -> bool:
        """Move the pods that the change may help; answers whether there were any."""
        # A pod that no plugin refused (there were no nodes, say) is helped by anything.
        helped = [
            w
            for w in self._unschedulable.values()
            if not w.refused_by or any(change in self._helped_by(name) for name in w.refused_by)
        ]
        for waiting in helped:
            self._retry(waiting, now)
        return bool(helped)

    def pop(self, now: float) -> Waiting | None:
        """The next pod to try, or None; it leaves the queue."""
        self._release(now)
        while self._active:
            waiting = self._current(heapq.heappop(self._active)[-1], "active")
            if waiting is not None:
                return self._take(waiting)
        while self._backoff:
            waiting = self._current(heapq.heappop(self._backoff)[-1], "backoff")
            if waiting is not None:
                return self._take(waiting)
        return None

    def next_ready(self, now: float) -> float | None:
        """Seconds until a waiting pod may become ready by itself, or None. May be early, never late."""
        moments = [heap[0][0] for heap in (self._backoff, self._errors) if heap]
        moments += [w.since + LONGEST_WAIT for w in list(islice(self._unschedulable.values(), 1))]
        return max(min(moments) - now, 0.0) if moments else None

    def _current(self, uid: str, place: str) -> Waiting | None:
        waiting = self._all.get(uid)
        return waiting if waiting is not None and waiting.place == place else None

    def _take(self, waiting: Waiting) -> Waiting:
        del self._all[waiting.pod.uid]
        waiting.attempts += 1
        return waiting

    def _release(self, now: float) -> None:
        for heap in (self._backoff, self._errors):
            while heap and heap[0][0] <= now:
                waiting = self._current(heapq.heappop(heap)[-1], "backoff")
                if waiting is not None:
                    self._activate(waiting)
        for waiting in list(islice(self._unschedulable.values(), 1)):
            if waiting.since + LONGEST_WAIT <= now:
                self._activate(waiting)

    def _retry(self, waiting: Waiting, now: float) -> None:
        if waiting.ready_at <= now:
            self._activate(waiting)
            return
        self._unschedulable.pop(waiting.pod.uid, None)
        waiting.place = "backoff"
        heapq.heappush(self._backoff, (waiting.ready_at, waiting.pod.uid))

    def _activate(self, waiting: Waiting) -> None:
        self._unschedulable.pop(waiting.pod.uid, None)
        waiting.place = "active"
        heapq.heappush(self._active, (-waiting.pod.priority, waiting.added, waiting.pod.uid))

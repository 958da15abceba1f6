"""Which pod is tried next, and when one that did not fit is tried again.

Three places: active (ready now, in the order of the profile's QueueSort), back-off (waiting out a pause) and
unschedulable (waiting for a change in the cluster that one of the plugins that refused it says may help). When nothing
is active, pods backing off after a refusal are tried early, as upstream does; those that met an error always wait.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

from controlplane.scheduler.changes import Event
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import Profile

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 10.0
# Should a change be missed, nothing waits longer than this (upstream's flush of the unschedulable pods).
LONGEST_WAIT = 300.0
# Seconds: sums of moments differ by less than clocks tell, and a pause of nothing would be a loop without rest.
SHORTEST = 0.001
# Changes that are remembered for pods which are being decided on; a pod that missed more is tried again at once.
REMEMBERED = 128
# Stands for plugins that say nothing of changes: extenders, and no plugin at all (there were no nodes). Anything helps.
ANYTHING = ""


@dataclass
class Waiting:
    """A pod on its way. Times are monotonic seconds; `refused_by` names plugins of the last attempt, `seen` counts
    the changes before it was taken from the queue.
    """

    pod: Pod
    added: float
    attempts: int = 0
    refused_by: frozenset[str] = frozenset()
    ready_at: float = 0.0
    since: float = 0.0
    place: str = "active"
    seen: int = 0


@dataclass(frozen=True)
class Pauses:
    """Back-offs, in seconds."""

    first: float = FIRST_BACKOFF
    longest: float = LONGEST_BACKOFF

    def after(self, attempts: int) -> float:
        """How long to wait after so many attempts: 1, 2, 4, 8, 10, 10 …"""
        return min(self.first * 2.0 ** min(max(attempts, 1) - 1, 64), self.longest)


class Queue:
    """Pods without a node. `next_ready` says when to come back though nothing happened.

    `profiles`: by scheduler name. Their PreEnqueue plugins are asked whenever a pod is to become active, and sort.
    """

    def __init__(self, profiles: Mapping[str, Profile], pauses: Pauses | None = None) -> None:
        self._profiles, self._pauses = profiles, pauses or Pauses()
        self._plugins = {name: profile.plugins for name, profile in profiles.items()}
        self._all: dict[str, Waiting] = {}
        # Heaps hold uids that may have moved on meanwhile; the entry in _all decides.
        self._active: list[tuple[Any, int, str]] = []
        self._backoff: list[tuple[float, str]] = []
        self._errors: list[tuple[float, str]] = []
        # In the order of `since`, for a refused pod always enters at the end.
        self._unschedulable: dict[str, Waiting] = {}
        # The same pods by scheduler and plugin that refused them, so that a change looks at those alone that it may
        # help.
        self._by_plugin: dict[tuple[str, str], dict[str, Waiting]] = {}
        self._number = count()
        self._changes: deque[Event] = deque(maxlen=REMEMBERED)
        self._counted = 0

    def __len__(self) -> int:
        return len(self._all)

    def counts(self) -> dict[str, int]:
        """Pods by place: active, backoff, unschedulable, gated."""
        result = dict.fromkeys(("active", "backoff", "unschedulable", "gated"), 0)
        for waiting in self._all.values():
            result[waiting.place] += 1
        return result

    def add(self, pod: Pod, now: float) -> None:
        """A new pod, or a change of a waiting one (which may now fit, so it is tried again after its back-off)."""
        waiting = self._all.get(pod.uid)
        if waiting is None:
            waiting = self._all[pod.uid] = Waiting(pod, now)
        elif replace(waiting.pod, nominated=pod.nominated) == pod:
            # A nomination is the scheduler's own word, and no reason to try again.
            waiting.pod = pod
            return
        self._unshelve(waiting)
        waiting.pod = pod
        if waiting.place in ("gated", "active"):
            self._activate(waiting)
        elif waiting.place == "unschedulable":
            self._retry(waiting, now)

    def remove(self, uid: str) -> None:
        waiting = self._all.pop(uid, None)
        if waiting is not None:
            self._unshelve(waiting)

    def holds(self, uid: str) -> bool:
        return uid in self._all

    def refused(self, waiting: Waiting, plugins: frozenset[str], now: float) -> None:
        """No node took it: wait for a change that may help."""
        waiting.refused_by = plugins or frozenset((ANYTHING,))
        waiting.ready_at, waiting.since = now + self._pauses.after(waiting.attempts), now
        waiting.place = "unschedulable"
        self._all[waiting.pod.uid] = self._unschedulable[waiting.pod.uid] = waiting
        self._shelve(waiting)
        missed = self._counted - waiting.seen
        if missed > REMEMBERED or any(self._is_helped(waiting, e) for e in islice(reversed(self._changes), missed)):
            self._retry(waiting, now)

    def failed(self, waiting: Waiting, now: float) -> None:
        """Trouble that is not the pod's fault (a binding that was refused, say): try again after the back-off."""
        waiting.ready_at = now + self._pauses.after(waiting.attempts)
        waiting.place = "backoff"
        self._all[waiting.pod.uid] = waiting
        heapq.heappush(self._errors, (waiting.ready_at, waiting.pod.uid))

    def nudge(self, uid: str, now: float) -> None:
        """Try a refused pod again after its back-off, though nothing has changed."""
        waiting = self._unschedulable.get(uid)
        if waiting is not None:
            self._unshelve(waiting)
            self.failed(waiting, now)

    def changed(self, event: Event, now: float) -> bool:
        """Move the pods that the change may help; answers whether there were any."""
        self._changes.append(event)
        self._counted += 1
        helped: dict[str, Waiting] = {}
        for (profile, name), pods in self._by_plugin.items():
            plugin = self._plugins.get(profile, {}).get(name)
            if plugin is None:
                helped.update(pods)
            elif event.change in plugin.helped_by:
                helped.update((uid, w) for uid, w in pods.items() if plugin.may_help(w.pod, event))
        for waiting in helped.values():
            self._retry(waiting, now)
        return bool(helped)

    def _is_helped(self, waiting: Waiting, event: Event) -> bool:
        plugins = self._plugins.get(waiting.pod.profile, {})
        for name in waiting.refused_by:
            plugin = plugins.get(name)
            if plugin is None or (event.change in plugin.helped_by and plugin.may_help(waiting.pod, event)):
                return True
        return False

    def pop(self, now: float) -> Waiting | None:
        """The next pod to try, or None; it leaves the queue."""
        self._release(now)
        while self._active:
            waiting = self._all.get(heapq.heappop(self._active)[-1])
            if waiting is not None and waiting.place == "active":
                return self._take(waiting)
        while self._backoff:
            waiting = self._pausing(heapq.heappop(self._backoff))
            if waiting is not None:
                return self._take(waiting)
        return None

    def next_ready(self, now: float) -> float | None:
        """Seconds until a waiting pod may become ready by itself, or None. May be early, never late."""
        moments = [heap[0][0] for heap in (self._backoff, self._errors) if heap]
        moments += [w.since + LONGEST_WAIT for w in islice(self._unschedulable.values(), 1)]
        return max(min(moments) - now, SHORTEST) if moments else None

    def _pausing(self, entry: tuple[float, str]) -> Waiting | None:
        """The pod that a heap's entry stands for, if it waits for that moment still."""
        ready_at, uid = entry
        waiting = self._all.get(uid)
        if waiting is None or (waiting.place, waiting.ready_at) != ("backoff", ready_at):
            return None
        return waiting

    def _take(self, waiting: Waiting) -> Waiting:
        del self._all[waiting.pod.uid]
        waiting.attempts += 1
        waiting.seen = self._counted
        return waiting

    def _release(self, now: float) -> None:
        for heap in (self._backoff, self._errors):
            while heap and heap[0][0] <= now:
                waiting = self._pausing(heapq.heappop(heap))
                if waiting is not None:
                    self._activate(waiting)
        while self._unschedulable:
            oldest = next(iter(self._unschedulable.values()))
            if oldest.since + LONGEST_WAIT > now:
                return
            self._activate(oldest)

    def _retry(self, waiting: Waiting, now: float) -> None:
        if waiting.ready_at <= now:
            self._activate(waiting)
            return
        self._unshelve(waiting)
        waiting.place = "backoff"
        heapq.heappush(self._backoff, (waiting.ready_at, waiting.pod.uid))

    def _activate(self, waiting: Waiting) -> None:
        self._unshelve(waiting)
        profile = self._profiles[waiting.pod.profile]
        for plugin in profile.at("preEnqueue"):
            if plugin.pre_enqueue(waiting.pod):
                waiting.place, waiting.refused_by = "gated", frozenset((plugin.name,))
                self._shelve(waiting)
                return
        waiting.place = "active"
        order = profile.at("queueSort")[0].queue_key(waiting.pod, waiting.added)
        heapq.heappush(self._active, (order, next(self._number), waiting.pod.uid))

    def _shelve(self, waiting: Waiting) -> None:
        for plugin in waiting.refused_by:
            self._by_plugin.setdefault((waiting.pod.profile, plugin), {})[waiting.pod.uid] = waiting

    def _unshelve(self, waiting: Waiting) -> None:
        self._unschedulable.pop(waiting.pod.uid, None)
        for plugin in waiting.refused_by:
            shelf = self._by_plugin.get((waiting.pod.profile, plugin))
            if shelf is not None:
                shelf.pop(waiting.pod.uid, None)
                if not shelf:
                    del self._by_plugin[waiting.pod.profile, plugin]

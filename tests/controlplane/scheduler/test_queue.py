"""What is tried when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controlplane.scheduler.changes import Change, Event
from controlplane.scheduler.extract import DEFAULT_SCHEDULER
from controlplane.scheduler.framework import Plugin, Profile, Rejection, everywhere
from controlplane.scheduler.plugins.gates import SchedulingGates
from controlplane.scheduler.plugins.priority_sort import PrioritySort
from controlplane.scheduler.queue import LONGEST_WAIT, REMEMBERED, Pauses, Queue, Waiting
from tests.controlplane.scheduler.build import pod

REMOVED, TAINTS = Event(Change.POD_REMOVED), Event(Change.NODE_TAINTS)


class Refusing(Plugin):
    def filter(self, state: Any, pod: Any, info: Any) -> Rejection | None:
        return Rejection("no")


class Fit(Refusing):
    name = "Fit"
    helped_by = frozenset((Change.POD_REMOVED,))

    def may_help(self, pod: Any, event: Event) -> bool:
        return event.old is None or event.old.requests == pod.requests


class Taints(Refusing):
    name = "Taints"
    helped_by = frozenset((Change.NODE_TAINTS,))


def queue() -> Queue:
    plugins = (PrioritySort(), SchedulingGates(), Fit(), Taints())
    return Queue({DEFAULT_SCHEDULER: Profile(DEFAULT_SCHEDULER, everywhere(plugins))})


def taken(q: Queue, now: float) -> Waiting:
    waiting = q.pop(now)
    assert waiting is not None
    return waiting


def test_priority_then_age() -> None:
    q = queue()
    q.add(pod("old"), 1.0)
    q.add(pod("young"), 2.0)
    q.add(pod("urgent", priority=9), 3.0)
    assert [taken(q, 4.0).pod.name for _ in range(3)] == ["urgent", "old", "young"]
    assert q.pop(4.0) is None


def test_only_a_change_that_helps_wakes_a_refused_pod() -> None:
    q = queue()
    q.add(pod(), 0.0)
    waiting = taken(q, 0.0)
    q.refused(waiting, frozenset(("Fit",)), 0.0)
    assert not q.changed(TAINTS, 5.0)
    assert q.pop(5.0) is None
    assert q.changed(REMOVED, 5.0)
    assert q.pop(5.0) is waiting


def test_idle_scheduler_tries_refused_pods_before_their_pause_is_over_but_not_failed_ones() -> None:
    q = queue()
    for name in ("refused", "failed"):
        q.add(pod(name), 0.0)
    first, second = taken(q, 0.0), taken(q, 0.0)
    q.refused(first, frozenset(("Fit",)), 0.0)
    q.failed(second, 0.0)
    assert q.changed(REMOVED, 0.1)
    assert q.pop(0.1) is first
    assert q.pop(0.1) is None
    assert q.next_ready(0.1) == 0.9
    assert q.pop(1.0) is second


def test_nothing_waits_for_ever() -> None:
    q = queue()
    q.add(pod(), 0.0)
    q.refused(taken(q, 0.0), frozenset(("Fit",)), 0.0)
    assert q.next_ready(10.0) == LONGEST_WAIT - 10
    assert q.pop(LONGEST_WAIT) is not None


def test_gated_pod_waits_until_its_gates_are_gone() -> None:
    q = queue()
    gated = pod(schedulingGates=[{"name": "x"}])
    q.add(gated, 0.0)
    assert q.pop(1.0) is None
    q.add(replace(gated, gates=()), 1.0)
    assert q.pop(1.0) is not None


def test_deleted_pod_is_not_tried() -> None:
    q = queue()
    q.add(pod(), 0.0)
    q.remove("uid-p")
    assert q.pop(0.0) is None


def test_backoff_doubles_up_to_ten_seconds() -> None:
    assert [Pauses().after(n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert [Pauses(3, 5).after(n) for n in (0, 1, 2, 10**6)] == [3, 3, 5, 5]


def test_what_a_plugin_says_of_a_change_decides() -> None:
    q = queue()
    q.add(pod(requests={"cpu": "1"}), 0.0)
    waiting = taken(q, 0.0)
    q.refused(waiting, frozenset(("Fit",)), 0.0)
    assert not q.changed(Event(Change.POD_REMOVED, old=pod("other", {"cpu": "2"})), 5.0)
    assert q.changed(Event(Change.POD_REMOVED, old=pod("other", {"cpu": "1"})), 5.0)


def test_a_change_while_a_pod_is_decided_on_is_not_missed() -> None:
    q = queue()
    for name in ("one", "two", "three"):
        q.add(pod(name), 0.0)
    one, two, three = taken(q, 0.0), taken(q, 0.0), taken(q, 0.0)
    q.changed(TAINTS, 1.0)
    q.refused(one, frozenset(("Fit",)), 2.0)
    assert q.pop(2.0) is None
    q.changed(REMOVED, 3.0)
    q.refused(two, frozenset(("Fit",)), 4.0)
    assert {taken(q, 5.0).pod.name for _ in range(2)} == {"one", "two"}
    for _ in range(REMEMBERED + 1):
        q.changed(TAINTS, 6.0)
    q.refused(three, frozenset(("Fit",)), 7.0)
    assert q.pop(8.0) is three


def test_any_change_helps_a_pod_that_no_plugin_answers_for() -> None:
    q = queue()
    q.add(pod(), 0.0)
    q.refused(taken(q, 0.0), frozenset(), 0.0)
    assert q.changed(TAINTS, 5.0)


class Budding(Plugin):
    """Lets pods in once it is spring."""

    name = "Budding"
    helped_by = frozenset((Change.NODE_TAINTS,))
    spring = False

    def pre_enqueue(self, pod: Any) -> str | None:
        return None if self.spring else "winter"


def test_a_plugin_s_gate_is_asked_again_when_something_may_have_opened_it() -> None:
    plugin = Budding()
    q = Queue({DEFAULT_SCHEDULER: Profile(DEFAULT_SCHEDULER, everywhere((PrioritySort(), plugin)))})
    q.add(pod(), 0.0)
    q.changed(TAINTS, 1.0)
    assert q.pop(1.0) is None
    assert q.counts()["gated"] == 1
    plugin.spring = True
    q.changed(REMOVED, 2.0)
    assert q.pop(2.0) is None
    q.changed(TAINTS, 3.0)
    assert q.pop(3.0) is not None


def test_a_pod_that_failed_is_not_tried_early_for_an_older_pause() -> None:
    q = queue()
    q.add(pod(), 0.0)
    waiting = taken(q, 0.0)
    q.refused(waiting, frozenset(("Fit",)), 0.0)
    q.changed(REMOVED, 0.1)
    q.add(replace(pod(), priority=1), 0.2)
    q.failed(taken(q, 0.3), 0.3)
    assert q.pop(0.4) is None

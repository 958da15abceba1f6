"""What is tried when."""

from __future__ import annotations

from dataclasses import replace

from controlplane.scheduler.framework import Change
from controlplane.scheduler.queue import LONGEST_WAIT, Queue, Waiting, backoff
from tests.controlplane.scheduler.build import pod

HELPED = {"Fit": frozenset((Change.POD_REMOVED,)), "Taints": frozenset((Change.NODE_TAINTS,))}


def queue() -> Queue:
    return Queue(lambda name: HELPED[name])


def taken(q: Queue, now: float) -> Waiting:
    waiting = q.pop(now)
    assert waiting is not None
    return waiting


def test_priority_then_age() -> None:
    q = queue()
    q.add(pod("old"), 1.0, None)
    q.add(pod("young"), 2.0, None)
    q.add(pod("urgent", priority=9), 3.0, None)
    assert [taken(q, 4.0).pod.name for _ in range(3)] == ["urgent", "old", "young"]
    assert q.pop(4.0) is None


def test_only_a_change_that_helps_wakes_a_refused_pod() -> None:
    q = queue()
    q.add(pod(), 0.0, None)
    waiting = taken(q, 0.0)
    q.refused(waiting, frozenset(("Fit",)), 0.0)
    assert not q.changed(Change.NODE_TAINTS, 5.0)
    assert q.pop(5.0) is None
    assert q.changed(Change.POD_REMOVED, 5.0)
    assert q.pop(5.0) is waiting


def test_idle_scheduler_tries_refused_pods_before_their_pause_is_over_but_not_failed_ones() -> None:
    q = queue()
    for name in ("refused", "failed"):
        q.add(pod(name), 0.0, None)
    first, second = taken(q, 0.0), taken(q, 0.0)
    q.refused(first, frozenset(("Fit",)), 0.0)
    q.failed(second, 0.0)
    assert q.changed(Change.POD_REMOVED, 0.1)
    assert q.pop(0.1) is first
    assert q.pop(0.1) is None
    assert q.next_ready(0.1) == 0.9
    assert q.pop(1.0) is second


def test_nothing_waits_for_ever() -> None:
    q = queue()
    q.add(pod(), 0.0, None)
    q.refused(taken(q, 0.0), frozenset(("Fit",)), 0.0)
    assert q.next_ready(10.0) == LONGEST_WAIT - 10
    assert q.pop(LONGEST_WAIT) is not None


def test_gated_pod_waits_until_its_gates_are_gone() -> None:
    q = queue()
    gated = pod(schedulingGates=[{"name": "x"}])
    q.add(gated, 0.0, "waiting for scheduling gates: [x]")
    assert q.pop(1.0) is None
    q.add(replace(gated, gates=()), 1.0, None)
    assert q.pop(1.0) is not None


def test_deleted_pod_is_not_tried() -> None:
    q = queue()
    q.add(pod(), 0.0, None)
    q.remove("uid-p")
    assert q.pop(0.0) is None


def test_backoff_doubles_up_to_ten_seconds() -> None:
    assert [backoff(n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]

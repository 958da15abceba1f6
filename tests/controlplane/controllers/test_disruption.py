"""What budgets allow, in tables and along histories; what evictions come to against the real API server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.kinds import DEPLOYMENT, JOB, POD, POD_DISRUPTION_BUDGET
from apimachinery.objects import Obj, condition, name
from apimachinery.timestamps import format_time
from controlplane.apiserver.subresources.eviction import spent
from controlplane.controllers.disruption.plan import fail_safe, plan, spared, stale_in
from tests.controlplane.controllers.build import T0, pod
from tests.controlplane.stage import Stage
from tests.controlplane.test_loops import play

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}


def budget(status: Obj | None = None, **spec: Any) -> Obj:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default", "generation": 4},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
        "status": status or {},
    }


@pytest.mark.parametrize(
    ("spec", "ready", "unready", "scale", "expected", "desired", "allowed"),
    [
        ({"minAvailable": 2}, 3, 0, 0, 3, 2, 1),
        ({"minAvailable": 2}, 2, 1, 0, 3, 2, 0),
        ({"minAvailable": 5}, 3, 0, 0, 3, 5, 0),
        ({"minAvailable": 0}, 0, 0, 0, 0, 0, 0),
        ({"minAvailable": "50%"}, 7, 0, 7, 7, 4, 3),
        ({"maxUnavailable": 1}, 3, 0, 3, 3, 2, 1),
        ({"maxUnavailable": 1}, 2, 0, 3, 3, 2, 0),
        ({"maxUnavailable": "30%"}, 7, 0, 7, 7, 4, 3),
        ({"maxUnavailable": 9}, 2, 0, 2, 2, 0, 2),
        ({"maxUnavailable": 1}, 2, 0, 0, 0, 0, 0),
        ({}, 2, 0, 0, 0, 0, 0),
    ],
)
def test_counts(spec: Obj, ready: int, unready: int, scale: int, expected: int, desired: int, allowed: int) -> None:
    pods = [pod(f"r{n}") for n in range(ready)] + [pod(f"u{n}", is_ready=False) for n in range(unready)]
    status = plan(budget(**spec), pods, scale, T0).status
    assert (status["expectedPods"], status["desiredHealthy"]) == (expected, desired)
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (ready, allowed)
    assert status["observedGeneration"] == 4
    (told,) = status["conditions"]
    assert (told["status"], told["reason"]) == (
        ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    )


def test_an_evicted_pod_counts_as_gone_until_its_deletion_is_overdue() -> None:
    evicted = {"disruptedPods": {"a": format_time(T0), "gone": format_time(T0)}}
    soon = plan(budget(evicted, minAvailable=1), [pod("a"), pod("b")], 0, T0 + timedelta(seconds=30))
    assert soon.status["currentHealthy"] == 1
    assert soon.status["disruptedPods"] == {"a": format_time(T0)}
    assert (soon.recheck, soon.overdue) == (90.0, ())
    late = plan(budget(evicted, minAvailable=1), [pod("a"), pod("b")], 0, T0 + timedelta(seconds=120))
    assert late.status["currentHealthy"] == 2
    assert "disruptedPods" not in late.status
    assert [name(p) for p in late.overdue] == ["a"]


def test_a_second_look_changes_nothing_and_a_failed_count_allows_nothing() -> None:
    pods = [pod("a"), pod("b")]
    first = plan(budget(minAvailable=1), pods, 0, T0).status
    later = T0 + timedelta(hours=1)
    assert plan(budget(first, minAvailable=1), pods, 0, later).status == first
    failed = fail_safe(budget(first, minAvailable=1), "found no controllers", later)
    assert failed["disruptionsAllowed"] == 0
    assert failed["conditions"][0]["reason"] == "SyncFailed"
    assert fail_safe(budget(failed), "found no controllers", later + timedelta(hours=1)) == failed


@pytest.mark.parametrize(
    ("mark", "parts", "wait"),
    [
        ({}, {}, 60.0),
        ({"status": "False"}, {}, None),
        ({"reason": "TerminationByKubelet"}, {}, None),
        ({}, {"deletionTimestamp": format_time(T0)}, None),
        ({}, {"phase": "Failed"}, None),
    ],
)
def test_a_spared_pod_loses_its_mark(mark: Obj, parts: Obj, wait: float | None) -> None:
    told = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": format_time(T0), **mark}
    marked = pod("a", conditions=[told], **parts)
    assert stale_in(marked, T0 + timedelta(seconds=60)) == wait
    cleared = {**marked, "status": spared(marked, T0)}
    assert stale_in(cleared, T0) is None


@given(
    least=st.integers(0, 4),
    steps=st.lists(st.tuples(st.sampled_from(["evict", "delete", "count"]), st.integers(0, 4))),
)
def test_evictions_alone_never_leave_too_few(least: int, steps: list[tuple[str, int]]) -> None:
    """However evictions, deletions and counts are mixed, an eviction that is let through leaves enough pods."""
    pods = {f"p{n}": pod(f"p{n}") for n in range(5)}
    held = budget(minAvailable=least)
    evicted: set[str] = set()
    for step, number in steps:
        who = f"p{number}"
        if step == "count":
            held["status"] = plan(held, list(pods.values()), 0, T0).status
        elif step == "evict" and who in pods and who not in evicted:
            try:
                held = spent(held, who, format_time(T0))
            except errors.TooManyRequests:
                continue
            evicted.add(who)
            assert len(pods.keys() - evicted) >= least
        elif step == "delete" and who in evicted:
            pods.pop(who, None)


def eviction(who: str) -> Obj:
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": who, "namespace": "default"}}


def test_a_budget_lets_pods_go_one_by_one(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        web: Obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}}
        selector = {"matchLabels": {"app": "web"}}
        await at.client.create(DEPLOYMENT, {**web, "spec": {"replicas": 3, "selector": selector, "template": TEMPLATE}})
        held = budget(maxUnavailable=1)
        held["metadata"] = {"name": "web", "namespace": "default"}
        await at.client.create(POD_DISRUPTION_BUDGET, held)

        async def allowed() -> bool:
            status = (await at.client.get(POD_DISRUPTION_BUDGET, "web", "default")).get("status") or {}
            return bool(status.get("disruptionsAllowed") == 1 and status["expectedPods"] == 3)

        names = set()
        for _ in range(3):
            await at.until(allowed)
            first, second = (name(p) for p in at.ready_pods()[:2])
            await at.client.create(POD, eviction(first), "default", name=first, subresource="eviction")
            names.add(first)
            with pytest.raises(errors.TooManyRequests):
                await at.client.create(POD, eviction(second), "default", name=second, subresource="eviction")
        assert len(names) == 3

    play(tmp_path, scenario)


def test_a_controller_without_a_scale_allows_nothing_and_says_so(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        pod_spec = {"containers": [{"name": "c", "image": "web:1"}], "restartPolicy": "Never"}
        template = {**TEMPLATE, "spec": pod_spec}
        job: Obj = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "default"}}
        await at.client.create(JOB, {**job, "spec": {"template": template}})
        held = budget(minAvailable="50%")
        held["metadata"] = {"name": "web", "namespace": "default"}
        await at.client.create(POD_DISRUPTION_BUDGET, held)

        async def told() -> bool:
            found = condition(await at.client.get(POD_DISRUPTION_BUDGET, "web", "default"), "DisruptionAllowed") or {}
            return found.get("message") == "jobs.batch does not implement the scale subresource"

        await at.until(told)

    play(tmp_path, scenario)

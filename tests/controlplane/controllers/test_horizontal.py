"""The autoscaler: metrics into sizes, how fast sizes change, and random histories against its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.objects import Obj
from apimachinery.selectors import parse_labels
from apimachinery.timestamps import format_time
from controlplane.controllers.context import Informers
from controlplane.controllers.horizontal.behavior import Bounds, History, limited
from controlplane.controllers.horizontal.controller import HorizontalController
from controlplane.controllers.horizontal.plan import Decision, Look, Measured, Unpicked, plan
from controlplane.controllers.horizontal.replicas import Metric
from controlplane.controllers.horizontal.rivals import Rivals
from controlplane.controllers.notes import Note
from tests.controlplane.controllers.build import T0

LONG_AGO = format_time(T0 - timedelta(hours=1))


def pod(name: str, cpu: str | None = "100m", phase: str = "Running", ready: str = "True", **more: Any) -> Obj:
    asked = {"requests": {"cpu": cpu}} if cpu else {}
    status: Obj = {"phase": phase, "startTime": LONG_AGO, **more}
    status["conditions"] = [{"type": "Ready", "status": ready, "lastTransitionTime": LONG_AGO}]
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "resources": asked}]}, "status": status}


def cpu(utilization: int = 50) -> Obj:
    target = {"type": "Utilization", "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def average(value: str) -> Obj:
    target = {"type": "AverageValue", "averageValue": value}
    return {"type": "Pods", "pods": {"metric": {"name": "requests"}, "target": target}}


def external(**target: str) -> Obj:
    return {"type": "External", "external": {"metric": {"name": "queue"}, "target": target}}


def hpa(*metrics: Obj, least: int = 1, most: int = 10, **spec: Any) -> Obj:
    return {"metadata": {}, "spec": {"minReplicas": least, "maxReplicas": most, "metrics": list(metrics), **spec}}


def used(**millis: int) -> Measured:
    return Measured({name: Metric(value, T0) for name, value in millis.items()})


def look(*measured: Measured, pods: list[Obj], size: int | None = None, history: History | None = None) -> Look:
    count = len(pods) if size is None else size
    return Look(count, count, pods, measured, history or History())


def at(decision: Decision) -> int:
    return int(decision.status["desiredReplicas"])


def conditions(decision: Decision) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in decision.status["conditions"]}


AB = [pod("a"), pod("b")]
SIZES: list[tuple[Obj, Look, int]] = [
    (hpa(cpu()), look(used(a=50, b=50), pods=AB), 2),
    (hpa(cpu()), look(used(a=100, b=100), pods=AB), 4),
    # Within a tenth nothing changes.
    (hpa(cpu()), look(used(a=54, b=54), pods=AB), 2),
    (hpa(cpu()), look(used(a=20, b=20), pods=AB), 1),
    (hpa(cpu(), least=2), look(used(a=1, b=1), pods=AB), 2),
    (hpa(cpu(), most=3), look(used(a=300, b=300), pods=AB), 3),
    # At most twofold, four at least.
    (hpa(cpu()), look(used(a=1000), pods=[pod("a")]), 4),
    # A pod without a metric is idle when growing, full when shrinking.
    (hpa(cpu()), look(used(a=150), pods=AB), 3),
    (hpa(cpu()), look(used(a=10, b=10), pods=[*AB, pod("c")]), 3),
    # Pods that are not ready use nothing when growing.
    (hpa(cpu()), look(used(a=100, b=100), pods=[*AB, pod("c", phase="Pending")]), 4),
    # Those that go count for nothing.
    (hpa(cpu()), look(used(a=100, b=900), pods=[pod("a"), pod("b", phase="Failed")], size=1), 2),
    (hpa(average("1")), look(used(a=1500, b=2500), pods=AB), 4),
    (hpa(external(type="Value", value="10")), look(Measured(value=30_000), pods=AB), 4),
    (hpa(external(type="AverageValue", averageValue="10")), look(Measured(value=30_000), pods=AB), 3),
    # The largest of several decides.
    (hpa(cpu(), average("1")), look(used(a=50, b=50), used(a=2000, b=2000), pods=AB), 4),
    (hpa(cpu(), least=3), look(used(a=1), pods=[pod("a")]), 3),
    (hpa(cpu(), most=2), look(used(a=1), pods=AB, size=5), 2),
]


@pytest.mark.parametrize(("scaler", "seen", "size"), SIZES)
def test_how_many_there_should_be(scaler: Obj, seen: Look, size: int) -> None:
    assert at(plan(scaler, seen, T0)) == size


def test_a_starting_pods_cpu_is_not_believed() -> None:
    begun = pod("b", startTime=format_time(T0 - timedelta(seconds=30)))
    begun["status"]["conditions"][0]["lastTransitionTime"] = format_time(T0 - timedelta(seconds=5))
    assert at(plan(hpa(cpu()), look(used(a=50, b=900), pods=[pod("a"), begun]), T0)) == 2
    begun["status"]["startTime"] = begun["status"]["conditions"][0]["lastTransitionTime"] = LONG_AGO
    assert at(plan(hpa(cpu()), look(used(a=50, b=900), pods=[pod("a"), begun]), T0)) == 4


def test_what_is_told() -> None:
    found = plan(hpa(cpu()), look(used(a=100, b=100), pods=AB), T0)
    assert found.size == 4
    why = "cpu resource utilization (percentage of request) above target"
    assert found.notes == (Note("Normal", "SuccessfulRescale", f"New size: 4; reason: {why}"),)
    current = {"averageUtilization": 100, "averageValue": "100m"}
    assert found.status["currentMetrics"] == [{"type": "Resource", "resource": {"name": "cpu", "current": current}}]
    assert conditions(found) == {
        "AbleToScale": ("True", "SucceededRescale"),
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": ("False", "DesiredWithinRange"),
    }
    limit = plan(hpa(cpu(), most=3), look(used(a=300, b=300), pods=AB), T0)
    assert conditions(limit)["ScalingLimited"] == ("True", "TooManyReplicas")


def test_a_target_of_none_is_left_alone() -> None:
    found = plan(hpa(cpu()), look(used(a=1), pods=[], size=0), T0)
    assert (found.size, conditions(found)["ScalingActive"]) == (None, ("False", "ScalingDisabled"))


FAILURES = [
    (look(Measured(failure="nobody answers"), pods=AB), "nobody answers"),
    (look(used(), pods=[]), "no pods returned by selector while calculating replica count"),
    (look(used(), pods=AB), "did not receive metrics for targeted pods (pods might be unready)"),
    (look(used(a=1), pods=[pod("a", cpu=None)]), "missing request for cpu in container c of Pod a"),
]


@pytest.mark.parametrize(("seen", "why"), FAILURES)
def test_why_nothing_can_be_told(seen: Look, why: str) -> None:
    seen = Look(max(seen.size, 1), 1, seen.pods, seen.measured)
    found = plan(hpa(cpu()), seen, T0)
    assert found.size is None
    assert conditions(found)["ScalingActive"] == ("False", "FailedGetResourceMetric")
    assert [note.reason for note in found.notes] == ["FailedGetResourceMetric", "FailedComputeMetricsReplicas"]
    assert why in found.notes[0].message


def test_half_of_the_metrics_may_grow_but_not_shrink() -> None:
    silent = Measured(failure="nobody answers")
    scaler = hpa(cpu(), average("1"))
    assert plan(scaler, look(used(a=100, b=100), silent, pods=AB), T0).size == 4
    assert plan(scaler, look(used(a=1, b=1), silent, pods=AB), T0).size is None


def ago(seconds: int, number: int) -> tuple[Any, int]:
    return T0 - timedelta(seconds=seconds), number


ONE = {"type": "Pods", "value": 1, "periodSeconds": 60}
FOUR = {**ONE, "value": 4}
HALF = {"type": "Percent", "value": 50, "periodSeconds": 60}


def down(*policies: Obj, **rules: Any) -> Obj:
    return {"scaleDown": {"stabilizationWindowSeconds": 0, "policies": list(policies), **rules}}


def up(*policies: Obj, **rules: Any) -> Obj:
    return {"scaleUp": {"policies": list(policies), **rules}}


RATES: list[tuple[int, int, Obj, History, int, str]] = [
    # Shrinking waits five minutes for the highest recommendation.
    (5, 1, {}, History(recommended=(ago(200, 5),)), 5, "DesiredWithinRange"),
    (5, 1, {}, History(recommended=(ago(400, 5),)), 1, "DesiredWithinRange"),
    (5, 1, down(ONE), History(), 4, "ScaleDownLimit"),
    (5, 1, down(ONE), History(down=(ago(30, 1),)), 5, "ScaleDownLimit"),
    (5, 1, down(ONE), History(down=(ago(90, 1),)), 4, "ScaleDownLimit"),
    (5, 1, down(ONE, FOUR), History(), 1, "DesiredWithinRange"),
    (5, 1, down(selectPolicy="Disabled"), History(), 5, "ScaleDownLimit"),
    (4, 10, up(HALF), History(), 6, "ScaleUpLimit"),
    (4, 10, up(HALF), History(up=(ago(30, 2),)), 4, "ScaleUpLimit"),
    (4, 10, up(ONE, FOUR), History(), 8, "ScaleUpLimit"),
    (4, 10, up(ONE, FOUR, selectPolicy="Min"), History(), 5, "ScaleUpLimit"),
    (4, 8, up(FOUR, stabilizationWindowSeconds=60), History(recommended=(ago(30, 4),)), 4, "DesiredWithinRange"),
]


@pytest.mark.parametrize(("current", "desired", "behavior", "history", "size", "reason"), RATES)
def test_how_fast_it_changes(
    current: int, desired: int, behavior: Obj, history: History, size: int, reason: str
) -> None:
    found = limited(current, desired, Bounds(1, 20, behavior), history, T0)
    assert (found.replicas, found.limited[1]) == (size, reason)


NO_SELECTOR = Unpicked("InvalidSelector", "a message", "SelectorRequired", "selector is required")


@pytest.mark.parametrize(("size", "wanted"), [(5, 3), (1, 2)])
def test_a_target_without_a_selector_is_kept_within_its_bounds(size: int, wanted: int) -> None:
    found = plan(hpa(cpu(), least=2, most=3), Look(size, size, [], (), unpicked=NO_SELECTOR), T0)
    assert (found.size, at(found)) == (wanted, wanted)
    assert conditions(found) == {"AbleToScale": ("True", "SucceededRescale")}


def test_a_target_whose_pods_are_not_known_is_left_as_it_is() -> None:
    scaler = {**hpa(cpu(), most=3), "status": {"currentMetrics": [{}], "desiredReplicas": 7}}
    found = plan(scaler, Look(2, 2, [], (), unpicked=NO_SELECTOR), T0)
    assert found.size is None
    assert (found.status["currentReplicas"], at(found), "currentMetrics" in found.status) == (2, 7, False)
    assert conditions(found) == {
        "AbleToScale": ("True", "SucceededGetScale"),
        "ScalingActive": ("False", "InvalidSelector"),
    }
    assert [note.reason for note in found.notes] == ["SelectorRequired", "FailedComputeMetricsReplicas"]
    assert {note.message for note in found.notes} == {"selector is required"}
    (ambiguous, _) = Unpicked("AmbiguousSelector", "two have them").notes()
    assert (ambiguous.reason, ambiguous.message) == ("AmbiguousSelector", "two have them")


def test_pods_are_not_known_where_there_is_no_selector_that_can_be_read() -> None:
    context: Any = SimpleNamespace(client=None, informers=Informers(cast(Any, None)))
    controller = HorizontalController(context)
    pods, why = controller._picked(hpa(cpu()), "a in (b")
    assert not pods and why is not None and why.reason == "InvalidSelector"
    read = "couldn't convert selector into a corresponding internal selector object: unable to parse requirement: "
    assert why.message.startswith(read) and {note.message for note in why.notes()} == {why.message}
    assert [note.reason for note in why.notes()] == ["InvalidSelector", "FailedComputeMetricsReplicas"]
    pods, why = controller._picked(hpa(cpu()), "")
    assert not pods and why is not None and why.notes()[0].reason == "SelectorRequired"
    assert controller._picked(hpa(cpu()), "a in (b)") == ([], None)


LOADS = st.lists(st.integers(0, 400), min_size=1, max_size=40)
POLICY = {"type": "Pods", "value": 2, "periodSeconds": 60}
CAREFUL = {
    "scaleUp": {"policies": [POLICY]},
    "scaleDown": {"stabilizationWindowSeconds": 120, "policies": [POLICY]},
}


@settings(max_examples=60, deadline=None)
@given(LOADS, st.sampled_from(({}, {"behavior": CAREFUL})), st.integers(1, 12))
def test_it_stays_within_its_bounds_and_no_faster_than_its_policy(
    loads: list[int], more: Mapping[str, Obj], size: int
) -> None:
    scaler, history = hpa(cpu(), least=2, most=8, **more), History()
    sizes: list[int] = []
    for step, load in enumerate(loads):
        moment = T0 + timedelta(seconds=15 * step)
        pods = [pod(f"p{n}") for n in range(size)]
        seen = look(Measured({p["metadata"]["name"]: Metric(load, moment) for p in pods}), pods=pods, history=history)
        found = plan(scaler, seen, moment)
        history = found.history
        size = found.size if found.size is not None else size
        assert 2 <= size <= 8
        assert found.status["desiredReplicas"] == size
        sizes.append(size)
    if more:
        # Four looks a minute: whatever the load does, two pods a minute at most (once within the bounds).
        for before, after in zip(sizes, sizes[4:], strict=False):
            assert abs(after - before) <= 4
            assert after - before <= 2 or before == sizes[0]


SELECTORS = st.sampled_from(["a=1", "a=2", "b=1", "a=1,b=1", "a in (1,2)", "a!=1", "b", "!a", "b=2,a!=1"])
LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"))


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("mn"), SELECTORS)), st.lists(LABELS))
@settings(max_examples=200, deadline=None)
def test_rivals_are_those_whose_selectors_match(notes: list[tuple[str, str, str]], pods: list[dict[str, str]]) -> None:
    rivals, last = Rivals(), {}
    for scaler, space, text in notes:
        rivals.note(f"{space}/{scaler}", space, text)
        last[f"{space}/{scaler}"] = parse_labels(text)
    wanted = {s for s, chosen in last.items() if s.startswith("m/") and any(map(chosen.matches, pods))}
    assert rivals.others("m/x", "m", pods) == wanted - {"m/x"}
    for scaler in last:
        rivals.forget(scaler)
    assert rivals.others("", "m", pods) == set()

"""Which pods a ReplicaSet makes and removes, and what it says of itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apimachinery.objects import Obj
from apimachinery.selectors import from_label_selector
from controlplane.controllers.expectations import Expectations
from controlplane.controllers.ownership import claim
from controlplane.controllers.replicaset.plan import BURST, Failure, batches, plan, ranked, status, view
from tests.controlplane.controllers.build import T0, pod, ready

NOW = T0 + timedelta(hours=2)


def replica_set(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web-1", "namespace": "default", "uid": "rs", "generation": 2},
        "spec": {"replicas": 2, "template": template, **spec},
    }


@pytest.mark.parametrize(
    ("wanted", "present", "create", "delete"), [(3, 1, 2, 0), (3, 3, 0, 0), (1, 3, 0, 2), (999, 0, BURST, 0)]
)
def test_numbers(wanted: int, present: int, create: int, delete: int) -> None:
    todo = plan(wanted - present, [view(pod(f"p{i}")) for i in range(present)], NOW)
    assert (todo.create, len(todo.delete)) == (create, delete)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pod("unbound"), pod("bound", nodeName="n")),
        (pod("pending", nodeName="n", phase="Pending"), pod("running", nodeName="n")),
        (pod("unready", is_ready=False, nodeName="n"), pod("ready", nodeName="n")),
        (
            pod("cheap", nodeName="n", annotations={"controller.kubernetes.io/pod-deletion-cost": "-5"}),
            pod("dear", nodeName="n"),
        ),
        (
            pod("lately", nodeName="n", conditions=[ready(since="2026-01-01T01:59:00Z")]),
            pod("long", nodeName="n", conditions=[ready(since="2026-01-01T00:10:00Z")]),
        ),
        (
            pod("restarting", nodeName="n", containerStatuses=[{"restartCount": 4}]),
            pod("calm", nodeName="n", containerStatuses=[{"restartCount": 0}]),
        ),
        (
            pod("young", nodeName="n", creationTimestamp="2026-01-01T01:59:30Z"),
            pod("old", nodeName="n", creationTimestamp="2026-01-01T00:00:00Z"),
        ),
    ],
)
def test_the_first_goes_before_the_second(first: Obj, second: Obj) -> None:
    for pods in ([first, second], [second, first]):
        assert [v.name for v in plan(1 - len(pods), [view(p) for p in pods], NOW).delete] == [first["metadata"]["name"]]


def test_crowded_nodes_lose_pods_first() -> None:
    pods = [pod("a", nodeName="n1"), pod("b", nodeName="n2")]
    other = pod("other", nodeName="n2")
    assert [v.name for v in plan(1 - len(pods), ranked(pods, [*pods, other]), NOW).delete] == ["b"]


def test_creation_starts_slowly() -> None:
    assert list(batches(20)) == [1, 2, 4, 8, 5]


def test_status_counts_and_waits_for_min_ready() -> None:
    pods = [
        pod("fresh", conditions=[ready(since="2026-01-01T01:59:57Z")]),
        pod("old"),
        pod("unready", is_ready=False),
        pod("going", deletionTimestamp="2026-01-01T02:00:00Z"),
        pod("done", phase="Succeeded"),
    ]
    got, later = status(replica_set(minReadySeconds=10), pods, None, NOW)
    assert got == {
        "replicas": 3,
        "fullyLabeledReplicas": 3,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
        "observedGeneration": 2,
    }
    assert later == 7


def test_failure_is_told_and_taken_back() -> None:
    subject = replica_set()
    got, _ = status(subject, [], Failure("FailedCreate", "no quota"), NOW)
    assert [(c["type"], c["reason"]) for c in got["conditions"]] == [("ReplicaFailure", "FailedCreate")]
    subject["status"] = got
    assert "conditions" not in status(subject, [], None, NOW)[0]


def test_claims() -> None:
    def owned(name: str, owner: str, **more: Any) -> Obj:
        result = pod(name, **more)
        result["metadata"]["ownerReferences"] = [{"uid": owner, "controller": True, "kind": "ReplicaSet", "name": "x"}]
        return result

    selector = from_label_selector({"matchLabels": {"app": "web"}})
    mine, strayed = owned("mine", "rs"), owned("strayed", "rs", labels={"app": "db"})
    foreign, orphan = owned("foreign", "other"), pod("orphan")
    going = pod("going", deletionTimestamp="2026-01-01T00:00:00Z")
    got = claim(replica_set(), selector, [mine, strayed, foreign, orphan, going])
    assert (got.owned, got.adopt, got.release) == ((mine,), (orphan,), (strayed,))
    leaving = replica_set()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    got = claim(leaving, selector, [mine, strayed, orphan])
    assert (got.owned, got.adopt, got.release) == ((mine,), (), ())


def test_expectations_hold_until_the_cache_shows_the_write() -> None:
    expected = Expectations(None, None)  # type: ignore[arg-type]
    expected.creating("rs", "default/p1")
    expected.deleting("rs", "uid-p2", "default/p2")
    assert not expected.settled("rs")
    expected.created("rs", "default/p1")
    assert not expected.settled("rs")
    expected.deleted("rs", "another")
    assert not expected.settled("rs")
    expected.deleted("rs", "uid-p2")
    assert expected.settled("rs")

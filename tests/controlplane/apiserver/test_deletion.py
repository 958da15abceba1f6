"""What a DELETE does to an object."""

from datetime import datetime, timezone
from typing import Any

import pytest

from controlplane.apiserver.catalog.strategy import PLAIN, Strategy
from controlplane.apiserver.registry import deletion
from controlplane.apiserver.strategies import pods

Obj = dict[str, Any]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
POD = Strategy(grace=pods.grace)


def obj(**metadata: Any) -> Obj:
    return {"metadata": {"name": "x", **metadata}}


def pod(node: str = "n1", phase: str = "Running", **metadata: Any) -> Obj:
    return {**obj(**metadata), "spec": {"nodeName": node}, "status": {"phase": phase}}


def test_an_object_without_finalizers_goes_at_once() -> None:
    assert deletion.plan(obj(), {}, PLAIN, NOW) == deletion.Verdict(True)


def test_finalizers_leave_it_marked() -> None:
    verdict = deletion.plan(obj(finalizers=["a/b"], generation=3), {}, PLAIN, NOW)
    assert not verdict.remove and verdict.store is not None
    metadata = verdict.store["metadata"]
    assert metadata["deletionTimestamp"] == "2026-01-02T03:04:05Z"
    assert (metadata["deletionGracePeriodSeconds"], metadata["generation"]) == (0, 4)


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan"), ("Background", None)]
)
def test_propagation_policies_become_finalizers(policy: str, finalizer: str | None) -> None:
    verdict = deletion.plan(obj(), {"propagationPolicy": policy}, PLAIN, NOW)
    if finalizer is None:
        assert verdict == deletion.Verdict(True)
    else:
        assert verdict.store is not None and verdict.store["metadata"]["finalizers"] == [finalizer]


@pytest.mark.parametrize(
    ("node", "phase", "asked", "seconds", "remove"),
    [
        ("n1", "Running", None, 30, False),
        ("n1", "Running", 5, 5, False),
        ("n1", "Running", 0, 0, True),
        ("", "Pending", None, 0, True),
        ("n1", "Succeeded", None, 0, True),
        ("n1", "Running", -3, 1, False),
    ],
)
def test_pods_get_time_to_end(node: str, phase: str, asked: int | None, seconds: int, remove: bool) -> None:
    options = {} if asked is None else {"gracePeriodSeconds": asked}
    verdict = deletion.plan(pod(node, phase), options, POD, NOW)
    assert verdict.remove is remove and verdict.store is not None
    assert verdict.store["metadata"]["deletionGracePeriodSeconds"] == seconds


def test_a_second_delete_only_shortens() -> None:
    dying: Obj = {"deletionTimestamp": "2026-01-02T03:04:30Z", "deletionGracePeriodSeconds": 30}
    assert deletion.plan(pod(**dying), {}, POD, NOW) == deletion.Verdict(False)
    assert deletion.plan(pod(**dying), {"gracePeriodSeconds": 60}, POD, NOW) == deletion.Verdict(False)
    shorter = deletion.plan(pod(**dying), {"gracePeriodSeconds": 10}, POD, NOW)
    assert shorter.store is not None
    assert shorter.store["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:10Z"
    assert deletion.plan(pod(**dying), {"gracePeriodSeconds": 0}, POD, NOW).remove

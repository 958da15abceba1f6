"""What may change in objects that exist, and what is said about it."""

from typing import Any

import pytest

from controlplane.apiserver.rules import metadata
from controlplane.apiserver.validation import jobs, statuses

Obj = dict[str, Any]


def told(found: list[Any]) -> list[str]:
    return [str(problem) for problem in found]


def with_status(**status: Any) -> Obj:
    return {"status": status}


def test_no_part_of_a_status_is_greater_than_the_whole() -> None:
    bad = with_status(observedGeneration=-1, replicas=-1, readyReplicas=5, availableReplicas=7)
    assert told(statuses.deployment(bad, {})) == [
        "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0",
        "status.replicas: Invalid value: -1: must be greater than or equal to 0",
        "status.updatedReplicas: Invalid value: 0: cannot be greater than status.replicas",
        "status.readyReplicas: Invalid value: 5: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 7: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 7: cannot be greater than readyReplicas",
    ]
    fine = with_status(replicas=3, readyReplicas=2, availableReplicas=2, updatedReplicas=3, fullyLabeledReplicas=3)
    for check in (statuses.deployment, statuses.replica_set, statuses.stateful_set, statuses.daemon_set, statuses.job):
        assert check(fine, {}) == []
    assert told(statuses.daemon_set(with_status(numberReady=-1), {})) == [
        "status.numberReady: Invalid value: -1: must be greater than or equal to 0"
    ]
    assert told(statuses.stateful_set(with_status(collisionCount=1), with_status(collisionCount=2))) == [
        "status.collisionCount: Invalid value: 1: cannot be decremented"
    ]


CONTAINER = {"name": "c", "image": "i", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}


def job(**spec: Any) -> Obj:
    pod: Obj = {"containers": [CONTAINER], "restartPolicy": "Never", "dnsPolicy": "ClusterFirst"}
    pod["terminationGracePeriodSeconds"] = 30
    template = {"metadata": {"labels": {"z": "z"}}, "spec": pod}
    fixed = {"manualSelector": True, "selector": {"matchLabels": {"z": "z"}}, "template": template}
    return {"metadata": {"name": "j"}, "spec": {**fixed, **spec}}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"completions": 5}, "spec.completions: Invalid value: 5: field is immutable"),
        ({"managedBy": "a.b/c"}, 'spec.managedBy: Invalid value: "a.b/c": field is immutable'),
        ({"backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex: Invalid value: 1: field is immutable"),
        ({"podFailurePolicy": {"rules": []}}, 'spec.podFailurePolicy: Invalid value: {"Rules":[]}: field is immutable'),
    ],
)
def test_what_stays_in_a_job(change: Obj, why: str) -> None:
    old = job(completions=1, completionMode="NonIndexed")
    assert jobs.job_change(old, old) == []
    assert told(jobs.job_change({**old, "spec": {**old["spec"], **change}}, old))[-1] == why


def test_an_indexed_job_grows_with_its_parallelism() -> None:
    old = job(completions=1, parallelism=1, completionMode="Indexed")
    assert jobs.job_change(job(completions=3, parallelism=3, completionMode="Indexed"), old) == []
    (alone,) = told(jobs.job_change(job(completions=3, parallelism=1, completionMode="Indexed"), old))
    assert "can only be modified in tandem with spec.parallelism" in alone


def test_only_a_suspended_job_that_has_not_begun_may_be_scheduled_elsewhere() -> None:
    old = job(suspend=True)
    moved = job(suspend=True)
    moved["spec"]["template"] = {
        **moved["spec"]["template"],
        "spec": {**old["spec"]["template"]["spec"], "nodeSelector": {"a": "b"}},
    }
    assert jobs.job_change(moved, old) == []
    begun = {**old, "status": {"startTime": "2020-01-01T00:00:00Z"}}
    assert told(jobs.job_change(moved, begun))[0].startswith("spec.template: Invalid value")


def test_metadata_of_a_change_is_told_as_often_as_upstream_looks_at_it() -> None:
    old = {"metadata": {"name": "c", "uid": "u"}}
    label = {"metadata": {"name": "c", "uid": "u", "labels": {"a": "not valid!"}}}
    assert len(metadata.validate_change(label, old)) == 3
    assert len(metadata.validate_change(label, old, whole=True)) == 4
    named = {"metadata": {"name": "c", "uid": "u", "finalizers": ["bare"]}}
    why = "name is neither a standard finalizer name nor is it fully qualified"
    assert (
        told(metadata.validate_change(named, old, whole=True))
        == [f'metadata.finalizers[0]: Invalid value: "bare": {why}'] * 2
    )
    moved = {"metadata": {"name": "c", "uid": "v"}}
    assert told(metadata.validate_change(moved, old)) == ['metadata.uid: Invalid value: "v": field is immutable'] * 2

"""When a Job's policies cannot be."""

from typing import Any

import pytest

from controlplane.apiserver.strategies import workloads
from controlplane.apiserver.validation import jobpolicies

Obj = dict[str, Any]
TEMPLATE = {"spec": {"containers": [{"name": "c"}]}}


def codes(**fields: Any) -> Obj:
    return {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 2], **fields}}


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (codes(), []),
        (codes(containerName="c"), []),
        (codes(containerName="d"), ["onExitCodes.containerName"]),
        (codes(values=[0, 2, 2]), ["onExitCodes.values[0]", "onExitCodes.values[2]"]),
        (codes(values=[2, 1]), ["onExitCodes.values"]),
        (codes(values=[]), ["onExitCodes.values"]),
        (codes(operator="Near"), ["onExitCodes.operator"]),
        ({**codes(), "action": "FailIndex"}, ["action"]),
        ({**codes(), "action": ""}, ["action"]),
        ({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}, []),
        (
            {"action": "Ignore", "onPodConditions": [{"type": "a b", "status": "Maybe"}]},
            ["onPodConditions[0].type", "onPodConditions[0].status"],
        ),
        ({"action": "Count"}, [""]),
        ({**codes(), "onPodConditions": [{"type": "T", "status": "True"}]}, [""]),
    ],
)
def test_failure(rule: Obj, wanted: list[str]) -> None:
    found = jobpolicies.failure("p", {"podFailurePolicy": {"rules": [rule]}, "template": TEMPLATE})
    assert [error.field for error in found] == [f"p.rules[0].{field}".rstrip(".") for field in wanted]


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({"succeededIndexes": "0,2-4"}, ""),
        ({"succeededIndexes": "0,2-4", "succeededCount": 4}, ""),
        ({"succeededIndexes": "0,2-4", "succeededCount": 5}, "must be less than or equal to 4 (the number of indexes"),
        ({"succeededIndexes": "5"}, 'too large index: "5"'),
        ({"succeededIndexes": "3,1"}, "non-increasing order, previous: 3, current: 1"),
        ({"succeededIndexes": "1-2-3"}, "at most two parts separated by '-'"),
        ({"succeededIndexes": "a"}, 'cannot convert string to integer for index: "a"'),
        ({"succeededCount": 6}, "must be less than or equal to 5 (the number of specified completions)"),
        ({}, "at least one of succeededCount or succeededIndexes must be specified"),
    ],
)
def test_success(rule: Obj, wanted: str) -> None:
    spec = {"completionMode": "Indexed", "completions": 5, "successPolicy": {"rules": [rule]}}
    found = [str(error) for error in jobpolicies.success("p", spec)]
    assert (wanted in found[0] and len(found) == 1) if wanted else found == []


def test_success_is_a_matter_of_indexes() -> None:
    (found,) = jobpolicies.success("p", {"completionMode": "NonIndexed", "successPolicy": {"rules": []}})
    assert str(found) == 'p: Invalid value: {"rules":[]}: requires indexed completion mode'


def test_a_job_adds_its_labels_to_those_given() -> None:
    job: Obj = {
        "metadata": {"name": "j", "uid": "u", "labels": {"own": "x"}},
        "spec": {"template": {"metadata": {"labels": {"job-name": "mine"}}}},
    }
    workloads.job_created(job)
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert (labels["job-name"], labels["batch.kubernetes.io/job-name"]) == ("mine", "j")
    assert job["metadata"]["labels"] == {"own": "x"}
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}

"""What is refused of Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.rules.tables import rules
from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, complete, expect, kind_of, put, teller, told

POD: Obj = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}
JOB: Obj = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "j", "namespace": "n", "uid": "u"},
    "spec": {
        "manualSelector": True,
        "selector": {"matchLabels": {"z": "z"}},
        "template": {"metadata": {"labels": {"z": "z"}}, "spec": POD},
    },
}
INDEXED: Obj = {"spec.completionMode": "Indexed", "spec.completions": 5}
PATH = "spec.template.metadata.labels"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.parallelism": -1}, ["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"spec.completionMode": "Indexed", "spec.parallelism": 2},
            ["spec.completions: Required value: when completion mode is Indexed"],
        ),
        ({"spec.maxFailedIndexes": 1, **INDEXED}, ["spec.backoffLimitPerIndex: Required value: when maxFailedIndexes"]),
        (
            {"spec.maxFailedIndexes": 6, "spec.backoffLimitPerIndex": 1, **INDEXED},
            ["spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions"],
        ),
        (
            {**INDEXED, "spec.completions": 100001, "spec.backoffLimitPerIndex": 1, "spec.parallelism": 10001},
            [
                "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
                "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are",
            ],
        ),
        (
            {"spec.backoffLimitPerIndex": 1},
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion"],
        ),
        ({"spec.managedBy": "x"}, ['spec.managedBy: Invalid value: "x": must be a domain-prefixed path']),
        ({"spec.managedBy": "a.b/" + "c" * 60}, ["spec.managedBy: Too long: may not be more than 63 bytes"]),
        (
            {"spec.podFailurePolicy": {"rules": []}, "spec.podReplacementPolicy": "TerminatingOrFailed"},
            ['spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"'],
        ),
        (
            {"spec.template.spec.restartPolicy": "Always"},
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        (
            {"spec.template.spec.restartPolicy": "OnFailure", "spec.podFailurePolicy": {"rules": []}},
            ['spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFai'],
        ),
        ({"spec.selector.matchLabels.z": "y"}, [f'{PATH}: Invalid value: {{"z":"z"}}: `selector` does not match']),
        (
            {"spec.selector": ABSENT},
            ["spec.selector: Required value", f'{PATH}: Invalid value: {{"z":"z"}}: `selector` does not match'],
        ),
        (
            {**INDEXED, "metadata.name": "j" * 62},
            [f'metadata.name: Invalid value: "{"j" * 62}": will not able to create pod with invalid DNS label: jjj'],
        ),
        (
            {"spec.successPolicy": {"rules": [{"succeededCount": 1}]}},
            ['spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: requires'],
        ),
    ],
)
def test_a_new_job(changes: Obj, wanted: list[str]) -> None:
    expect(teller(JOB)(changes), wanted)


def test_the_labels_and_the_selector_are_those_that_the_server_writes() -> None:
    uid, name = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
    own = {uid: "u", name: "j", "controller-uid": "u", "job-name": "j"}
    job = put(JOB, {"spec.manualSelector": False, "spec.selector": {"matchLabels": {uid: "u"}}})
    job = put(job, {"spec.template.metadata.labels": own})
    assert told(job) == []
    other = put(job, {"spec.template.metadata.labels": {**own, name: "k"}})
    expect(told(other), [f'{PATH}[{name}]: Invalid value: {{"{uid}":"u","{name}":"k","controller-uid":"u",'])
    bare = put(job, {"spec.template.metadata.labels": {key: own[key] for key in own if key != "job-name"}})
    expect(told(bare), [f"{PATH}[job-name]: Required value: must be 'j'"])
    mine = put(job, {"spec.selector": {"matchLabels": {"a": "b"}}})
    expect(told(mine), ['spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` not', f"{PATH}: Invalid"])


def codes(**fields: Any) -> Obj:
    return {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 2], **fields}}


ONE_OF = "specifying one of OnExitCodes and OnPodConditions is required"


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (codes(), []),
        (codes(containerName="c"), []),
        (codes(containerName="d"), ['.onExitCodes.containerName: Invalid value: "d": must be one of the container']),
        (
            codes(values=[0, 2, 2]),
            [".onExitCodes.values[0]: Invalid value: 0: must not be 0", ".onExitCodes.values[2]: Duplicate value: 2"],
        ),
        (codes(values=[2, 1]), [".onExitCodes.values: Invalid value: [2,1]: must be ordered"]),
        (codes(operator="Near"), ['.onExitCodes.operator: Unsupported value: "Near": supported values: "In", "NotIn"']),
        (codes(operator=""), ['.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]']),
        (
            {**codes(), "action": "FailIndex"},
            ['.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex'],
        ),
        (
            {**codes(), "action": ""},
            ['.action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]'],
        ),
        ({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}, []),
        (
            {"action": "Ignore", "onPodConditions": [{"type": "a b", "status": "Maybe"}]},
            [
                '.onPodConditions[0].type: Invalid value: "a b"',
                '.onPodConditions[0].status: Unsupported value: "Maybe"',
            ],
        ),
        ({"action": "Count"}, [f": Invalid value: {ONE_OF}"]),
        (
            {**codes(), "onPodConditions": [{"type": "T", "status": "True"}]},
            [": Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"],
        ),
    ],
)
def test_when_a_job_has_failed(rule: Obj, wanted: list[str]) -> None:
    policy = {"spec.podFailurePolicy": {"rules": [rule]}, "spec.podReplacementPolicy": "Failed"}
    expect(teller(JOB)(policy), [f"spec.podFailurePolicy.rules[0]{text}" for text in wanted])


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({"succeededIndexes": "0,2-4"}, ""),
        ({"succeededIndexes": "0,2-4", "succeededCount": 4}, ""),
        ({"succeededIndexes": "0,2-4", "succeededCount": 5}, "must be less than or equal to 4 (the number of indexes"),
        ({"succeededIndexes": "5"}, 'too large index: "5"'),
        ({"succeededIndexes": "3,1"}, "non-increasing order, previous: 3, current: 1"),
        ({"succeededIndexes": "3-1"}, "non-increasing order, previous: 3, current: 1"),
        ({"succeededIndexes": "1-2-3"}, "at most two parts separated by '-'"),
        ({"succeededIndexes": "a"}, 'cannot convert string to integer for index: "a"'),
        ({"succeededIndexes": "9" * 5000}, "cannot convert string to integer for index: "),
        ({"succeededCount": 6}, "must be less than or equal to 5 (the number of specified completions)"),
        ({}, "at least one of succeededCount or succeededIndexes must be specified"),
    ],
)
def test_when_a_job_has_succeeded(rule: Obj, wanted: str) -> None:
    found = teller(JOB)({**INDEXED, "spec.successPolicy": {"rules": [rule]}})
    assert (wanted in found[0] and len(found) == 1) if wanted else found == []


# --- changes ---


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"completions": 5}, "spec.completions: Invalid value: 5: field is immutable"),
        ({"managedBy": "a.b/c"}, 'spec.managedBy: Invalid value: "a.b/c": field is immutable'),
        ({"backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex: Invalid value: 1: field is immutable"),
        ({"podFailurePolicy": {"rules": []}}, 'spec.podFailurePolicy: Invalid value: {"Rules":[]}: field is immutable'),
        (
            {"template": {"metadata": {"labels": {"z": "z"}}, "spec": {**POD, "hostname": "h"}}},
            'spec.template: Invalid value: {"labels":{"z":"z"},"Spec":{"Volumes":null,"InitContainers":null,',
        ),
    ],
)
def test_what_stays_in_a_job(change: Obj, why: str) -> None:
    old = put(JOB, {"spec.completions": 1})
    assert told(old, old) == []
    assert told({**old, "spec": {**old["spec"], **change}}, old)[-1].startswith(why)


def test_an_indexed_job_grows_with_its_parallelism() -> None:
    old = put(JOB, {**INDEXED, "spec.completions": 1, "spec.parallelism": 1})
    assert told(put(old, {"spec.completions": 3, "spec.parallelism": 3}), old) == []
    expect(
        told(put(old, {"spec.completions": 3}), old),
        ["spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"],
    )


def test_only_a_suspended_job_without_pods_may_be_scheduled_elsewhere() -> None:
    old = put(JOB, {"spec.suspend": True})
    moved = put(
        old,
        {
            "spec.template.spec.nodeSelector": {"a": "b"},
            "spec.template.spec.affinity": {"nodeAffinity": {}},
            "spec.template.spec.containers.0.resources": {"limits": {"cpu": "1"}},
        },
    )
    assert told(moved, old) == []
    begun = {**old, "status": {"startTime": "2020-01-01T00:00:00Z"}}
    expect(told(moved, begun), ["spec.template: Invalid value"])
    stopped = {**old, "status": {**begun["status"], "conditions": [{"type": "Suspended", "status": "True"}]}}
    assert told(moved, stopped) == []
    expect(told(moved, {**stopped, "status": {**stopped["status"], "active": 1}}), ["spec.template: Invalid value"])
    renamed = put(moved, {"spec.template.spec.hostname": "h"})
    expect(told(renamed, old), ['spec.template.spec: Invalid value: {"Volumes":null'])


# --- status ---


def conditions(*kinds: str) -> list[Obj]:
    return [{"type": kind, "status": "True"} for kind in kinds]


DONE: Obj = {
    "conditions": conditions("SuccessCriteriaMet", "Complete"),
    "startTime": "2020-01-01T00:00:00Z",
    "completionTime": "2020-01-02T00:00:00Z",
}


@pytest.mark.parametrize(
    ("before", "status", "wanted"),
    [
        ({}, {"active": 1, "ready": 1}, []),
        ({}, {"active": -1}, [".active: Invalid value: -1: must be greater than or equal to 0"]),
        ({}, {"ready": 1}, [".ready: Invalid value: 1: cannot set more ready pods than active"]),
        (
            {},
            {"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}},
            [
                '.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
                '.uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
            ],
        ),
        ({}, DONE, []),
        (
            {},
            {**DONE, "conditions": conditions("Complete"), "completionTime": None, "active": 1},
            [
                ".completionTime: Required value: completionTime is required for Complete jobs",
                ".conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true",
                ".active: Invalid value: 1: active>0 is invalid for finished job",
            ],
        ),
        (
            {},
            {"completionTime": "2020-01-01T00:00:00Z"},
            ['.completionTime: Invalid value: "2020-01-01T00:00:00Z": cannot set completionTime when there is no'],
        ),
        (
            {},
            {"conditions": conditions("Failed"), "startTime": "2020-01-01T00:00:00Z"},
            [".conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"],
        ),
        (DONE, {}, [
            ".conditions: Invalid value: cannot disable the terminal Complete=True condition",
            ".startTime: Invalid value: null: field is immutable for unsuspended job once set",
            ".conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
        ]),
        ({"failed": 2}, {"failed": 1}, [".failed: Invalid value: 1: cannot decrease the failed counter"]),
        ({"succeeded": 2}, {"succeeded": 1}, [".succeeded: Invalid value: 1: cannot decrease the succeeded counter"]),
        (
            {},
            {"completedIndexes": "0"},
            ['.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed'],
        ),
        # What stands is not held against a change of something else.
        ({"completedIndexes": "1"}, {"completedIndexes": "1", "active": 1}, []),
    ],
)  # fmt: skip
def test_a_jobs_status(before: Obj, status: Obj, wanted: list[str]) -> None:
    expect(said(JOB, before, status), [f"status{text}" for text in wanted])


def said(job: Obj, before: Obj, status: Obj) -> list[str]:
    whole = complete(job)
    found = rules().check(kind_of(job), {**whole, "status": status}, {**whole, "status": before}, "status")
    return [str(error) for error in found]


def test_what_is_through_is_through_in_one_way() -> None:
    job = put(JOB, {**INDEXED, "spec.backoffLimitPerIndex": 1})
    assert said(job, {}, {"completedIndexes": "0,2", "failedIndexes": "1,3-4"}) == []
    expect(
        said(job, {}, {"completedIndexes": "0,2-3", "failedIndexes": "1,3-4"}),
        ['status.failedIndexes: Invalid value: "1,3-4": failedIndexes and completedIndexes overlap at index: 3'],
    )
    expect(
        said(job, {}, {"completedIndexes": "7", "failedIndexes": "x"}),
        [
            'status.completedIndexes: Invalid value: "7": error parsing completedIndexes: too large index: "7"',
            'status.failedIndexes: Invalid value: "x": error parsing failedIndexes: cannot convert string to integer',
        ],
    )


# --- CronJobs ---

CRON: Obj = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "c", "namespace": "n"},
    "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": POD}}}},
}
INNER = "spec.jobTemplate.spec"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        (
            {"metadata.name": "c" * 53},
            [f'metadata.name: Invalid value: "{"c" * 53}": must be no more than 52 characters'],
        ),
        ({"spec.schedule": ""}, ["spec.schedule: Required value"]),
        ({"spec.schedule": "* * *"}, ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3']),
        ({"spec.schedule": "@never"}, ['spec.schedule: Invalid value: "@never": unrecognized descriptor: @never']),
        ({"spec.schedule": "TZ=UTC * * * * *"}, ['spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ']),
        ({"spec.schedule": "0 0 1 1 ²"}, ['spec.schedule: Invalid value: "0 0 1 1 ²": failed to parse int from ²: ']),
        (
            {"spec.schedule": "*/0 * * * *"},
            ['spec.schedule: Invalid value: "*/0 * * * *": step of range should be a positive number: */0'],
        ),
        ({"spec.timeZone": ""}, ['spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string']),
        ({"spec.timeZone": "Local"}, ['spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone']),
        ({"spec.timeZone": "../x"}, ['spec.timeZone: Invalid value: "../x": unknown time zone ../x']),
        ({"spec.timeZone": "Europe/Nowhere"}, ['spec.timeZone: Invalid value: "Europe/Nowhere": unknown time zone']),
        (
            {"spec.concurrencyPolicy": "X"},
            ['spec.concurrencyPolicy: Unsupported value: "X": supported values: "Allow"'],
        ),
        (
            {f"{INNER}.selector": {"matchLabels": {"a": "b"}}, f"{INNER}.manualSelector": True},
            [
                f'{INNER}.selector: Invalid value: {{"matchLabels":{{"a":"b"}}}}: `selector` will be auto-generated',
                f'{INNER}.manualSelector: Unsupported value: true: supported values: "nil", "false"',
            ],
        ),
        ({f"{INNER}.completions": -1}, [f"{INNER}.completions: Invalid value: -1: must be greater than or equal to 0"]),
    ],
)
def test_cron_jobs(changes: Obj, wanted: list[str]) -> None:
    expect(teller(CRON)(changes), wanted)


def test_a_zone_in_a_schedule_may_stay() -> None:
    old = put(CRON, {"spec.schedule": "TZ=UTC * * * * *"})
    assert told(put(old, {"spec.suspend": True}), old) == []
    expect(
        told(put(old, {"spec.timeZone": "UTC"}), old),
        ['spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use both timeZone field and TZ or CRON_TZ in sch'],
    )

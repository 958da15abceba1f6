"""What is refused of autoscalers, budgets, leases and of the classes that pods name."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.rules.tables import rules
from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, complete, expect, kind_of, put, teller, told

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
SCALER: Obj = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "h", "namespace": "n"},
    "spec": {"scaleTargetRef": TARGET, "minReplicas": 1, "maxReplicas": 3},
}
USED = {"type": "Utilization", "averageUtilization": 50}
NOTHING = {"type": "Value", "value": "0"}
METRIC = "spec.metrics[0]"


def metric(kind: str, **source: Any) -> Obj:
    return {"spec.metrics": [{"type": kind, kind[0].lower() + kind[1:]: source}]}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        (
            {"spec.maxReplicas": 0},
            ["spec.maxReplicas: Required value: must be set and greater than 0", "spec.maxReplicas: Invalid value: 0"],
        ),
        ({"spec.minReplicas": 0}, [
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
            "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero",
        ]),
        ({"spec.scaleTargetRef": {"apiVersion": "v1", "kind": "ReplicationController", "name": "r"}}, []),
        (
            {"spec.scaleTargetRef": {"apiVersion": "v1", "kind": "Deployment", "name": "d"}},
            ['spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group'],
        ),
        (
            {"spec.scaleTargetRef.apiVersion": "/v1"},
            ['spec.scaleTargetRef.apiVersion: Invalid value: "/v1": apiVersion must specify API group'],
        ),
        ({"spec.scaleTargetRef.name": "a/b"}, ['spec.scaleTargetRef.name: Invalid value: "a/b": may not contain']),
        (metric("Resource", name="cpu", target=USED), []),
        (metric("Resource", target=USED), [f"{METRIC}.resource.name: Required value: must specify a resource name"]),
        ({"spec.metrics": [{"type": "Pods"}]}, [f"{METRIC}.pods: Required value: must populate information for the"]),
        (
            {"spec.metrics": [{"type": "Odd"}]},
            [f'{METRIC}.type: Unsupported value: "Odd": supported values: "ContainerResource", "External", "Obj'] * 2,
        ),
        (
            metric("External", metric={"name": "q"}, target={"type": "Value"}),
            [f"{METRIC}.external.target.averageValue: Required value: must set either a target value for metric or a"],
        ),
        (
            metric("Object", describedObject={"kind": "K"}, metric={"name": "q"}, target=NOTHING),
            [
                f"{METRIC}.object.describedObject.name: Required value",
                f'{METRIC}.object.target.value: Invalid value: "0": must be positive',
            ],
        ),
        (
            {"spec.metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": USED}, "pods": {}}]},
            [
                f"{METRIC}.pods.metric.name: Required value: must specify a metric name",
                f"{METRIC}.pods.target.type: Required value: must specify a metric target type",
                f'{METRIC}.pods.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
                f"{METRIC}.pods.target.averageValue: Required value: must specify a positive target averageValue",
                f"{METRIC}.pods: Forbidden: must populate the given metric source only",
            ],
        ),
        (
            metric("ContainerResource", name="cpu", container="c", target={"type": "Odd", "averageUtilization": 0}),
            [
                f'{METRIC}.containerResource.target.type: Invalid value: "Odd": must be either Utilization, Value, or',
                f"{METRIC}.containerResource.target.averageUtilization: Invalid value: 0: must be greater than 0",
            ],
        ),
        (
            {
                "spec.behavior.scaleUp": {
                    "stabilizationWindowSeconds": 3601,
                    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 1801}],
                }
            },
            [
                "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to",
                "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to",
            ],
        ),
        ({"spec.behavior.scaleDown": {"selectPolicy": "Disabled"}}, []),
        # An empty list of policies asks for none, and is not the same as no list.
        (
            {"spec.behavior.scaleDown": {"policies": []}},
            ["spec.behavior.scaleDown.policies: Required value: must specify at least one Policy"],
        ),
    ],
)  # fmt: skip
def test_autoscalers(changes: Obj, wanted: list[str]) -> None:
    expect(teller(SCALER)(changes), wanted)


def test_what_scales_something_odd_may_stay() -> None:
    old = put(SCALER, {"spec.scaleTargetRef.apiVersion": "v1"})
    assert told(put(old, {"spec.maxReplicas": 4}), old) == []
    expect(told(old, SCALER), ['spec.scaleTargetRef.apiVersion: Invalid value: "v1"'])


# --- budgets ---

BUDGET: Obj = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "b", "namespace": "n"},
    "spec": {"minAvailable": "50%"},
}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.minAvailable": "101%"}, ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%']),
        (
            {"spec.minAvailable": ABSENT, "spec.maxUnavailable": -1},
            ["spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            {"spec.maxUnavailable": 1},
            ['spec: Invalid value: {"MinAvailable":"50%","Selector":null,"MaxUnavailable":1,"Unhealthy'],
        ),
        (
            {"spec.unhealthyPodEvictionPolicy": "Never"},
            ['spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", "IfHea'],
        ),
    ],
)
def test_budgets(changes: Obj, wanted: list[str]) -> None:
    expect(teller(BUDGET)(changes), wanted)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ({"disruptionsAllowed": -1}, [".disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"conditions": [{"type": "a b", "status": "Maybe", "reason": "-"}]},
            [
                '.conditions[0].type: Invalid value: "a b": name part must consist of',
                '.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
                ".conditions[0].lastTransitionTime: Required value",
                '.conditions[0].reason: Invalid value: "-": a condition reason must start with alphabetic character',
            ],
        ),
    ],
)
def test_a_budgets_status(status: Obj, wanted: list[str]) -> None:
    whole = complete(BUDGET)
    found = rules().check(kind_of(BUDGET), {**whole, "status": status}, whole, "status")
    expect([str(error) for error in found], [f"status{text}" for text in wanted])


# --- leases and classes ---


def test_leases() -> None:
    lease: Obj = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "namespace": "n"}}
    assert told(lease) == []
    expect(
        told({**lease, "spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}),
        [
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.leaseTransitions: Invalid value: -1",
        ],
    )


def priority(name: str = "p", **fields: Any) -> Obj:
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, **fields}


@pytest.mark.parametrize(
    ("name", "fields", "wanted"),
    [
        ("p", {"value": 1_000_000_000}, []),
        ("p", {"value": 1_000_000_001}, ["value: Forbidden: maximum allowed value of a user defined priority is 1000"]),
        ("system-node-critical", {"value": 2_000_001_000}, []),
        (
            "system-node-critical",
            {"value": 1},
            ["metadata.name: Forbidden: priority class names with 'system-' prefix"],
        ),
        (
            "system-mine",
            {"value": 1},
            ["metadata.name: Forbidden: priority class names with 'system-' prefix are rese"],
        ),
        ("p", {"preemptionPolicy": ""}, ["preemptionPolicy: Required value"]),
        ("p", {"preemptionPolicy": "Odd"}, ['preemptionPolicy: Unsupported value: "Odd": supported values: "Preempt']),
    ],
)
def test_priority_classes(name: str, fields: Obj, wanted: list[str]) -> None:
    expect(told(priority(name, **fields)), wanted)


RUNTIME: Obj = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "r"}, "handler": "a"}


def test_classes_stand() -> None:
    assert told(priority(value=2), priority(value=1)) == ["value: Forbidden: may not be changed in an update."]
    assert told(priority(value=0), priority()) == []
    odd = {"preemptionPolicy": "Odd"}
    told_once = ['preemptionPolicy: Invalid value: "Odd": field is immutable']
    assert told(priority(value=1, **odd), priority(value=1)) == told_once
    changed = told(put(RUNTIME, {"handler": "b"}), RUNTIME)
    assert changed == ['handler: Invalid value: "b": field is immutable']


def test_runtime_classes() -> None:
    same = {"key": "k", "operator": "Exists"}
    odd = {"overhead": {"podFixed": {"cpu": "-1"}}, "scheduling": {"tolerations": [same, dict(same)]}, "handler": ""}
    expect(
        teller(RUNTIME)(odd),
        [
            "handler: Required value",
            'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
            'scheduling.tolerations[1]: Duplicate value: {"Key":"k","Operator":"Exists"',
        ],
    )

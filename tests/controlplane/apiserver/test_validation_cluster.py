"""What is refused of nodes, namespaces, quotas, classes, budgets, autoscalers and events."""

from typing import Any

import pytest

from controlplane.apiserver.strategies import cluster as strategy
from controlplane.apiserver.validation import autoscaling, nodes, policy

Obj = dict[str, Any]


def texts(found: Any) -> list[str]:
    return [str(error) for error in found]


# --- namespaces and events ---


# --- nodes ---


def node(status: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "n"}, "spec": spec, "status": status or {}}


def test_what_a_feature_gate_hides_is_dropped_unless_it_was_there() -> None:
    new = node(configSource={"configMap": {}})
    strategy.node_created(new)
    assert new["spec"] == {}
    lease: Obj = {"spec": {"strategy": "Oldest", "preferredHolder": "x", "holderIdentity": "y"}}
    kept: Obj = {"spec": dict(lease["spec"])}
    strategy.lease_changed(kept, {"spec": {"strategy": "Oldest"}})
    assert kept == lease
    strategy.lease_changed(kept, {"spec": {}})
    assert kept == {"spec": {"holderIdentity": "y"}}


# --- classes ---


@pytest.mark.parametrize(
    ("name", "fields", "wanted"),
    [
        ("p", {"value": 1000000000}, []),
        ("p", {"value": 1000000001}, ["value"]),
        ("system-p", {"value": 1}, ["metadata.name"]),
        ("system-node-critical", {"value": 2000001000}, []),
        ("system-node-critical", {"value": 1}, ["metadata.name"]),
        ("p", {"preemptionPolicy": "Always"}, ["preemptionPolicy"]),
    ],
)
def test_priority_classes(name: str, fields: Obj, wanted: list[str]) -> None:
    assert [error.field for error in nodes.priority_class({"metadata": {"name": name}, **fields})] == wanted


def test_classes_stand() -> None:
    assert texts(nodes.priority_class_change({"value": 2}, {"value": 1})) == [
        "value: Forbidden: may not be changed in an update."
    ]
    assert nodes.priority_class_change({"value": 0}, {}) == []
    assert texts(nodes.runtime_class_change({"handler": "b"}, {"handler": "a"})) == [
        'handler: Invalid value: "b": field is immutable'
    ]


def test_runtime_classes() -> None:
    same = {"key": "k", "operator": "Exists"}
    obj = {"overhead": {"podFixed": {"cpu": "-1"}}, "scheduling": {"tolerations": [same, dict(same)]}}
    assert [error.field for error in nodes.runtime_class(obj)] == [
        "handler",
        "overhead.podFixed[cpu]",
        "scheduling.tolerations[1]",
    ]


# --- quotas and limits ---


# --- budgets and autoscalers ---


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"minAvailable": "50%"}, []),
        ({"minAvailable": "101%"}, ["spec.minAvailable"]),
        ({"maxUnavailable": -1}, ["spec.maxUnavailable"]),
        ({"minAvailable": 1, "maxUnavailable": 1}, ["spec"]),
        ({"unhealthyPodEvictionPolicy": "Never"}, ["spec.unhealthyPodEvictionPolicy"]),
    ],
)
def test_budgets(spec: Obj, wanted: list[str]) -> None:
    assert [error.field for error in policy.budget({"spec": spec})] == wanted


def autoscaler(**spec: Any) -> Obj:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    return {"spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3, **spec}}


def metric(kind: str, **source: Any) -> Obj:
    return {"type": kind, kind[0].lower() + kind[1:]: source}


UTILIZATION = {"type": "Utilization", "averageUtilization": 50}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"maxReplicas": 0}, ["spec.maxReplicas", "spec.maxReplicas"]),
        ({"minReplicas": 0}, ["spec.minReplicas"]),
        ({"scaleTargetRef": {"apiVersion": "v1", "kind": "ReplicationController", "name": "r"}}, []),
        (
            {"scaleTargetRef": {"apiVersion": "v1", "kind": "Deployment", "name": "d"}},
            ["spec.scaleTargetRef.apiVersion"],
        ),
        ({"metrics": [metric("Resource", name="cpu", target=UTILIZATION)]}, []),
        ({"metrics": [metric("Resource", target=UTILIZATION)]}, ["spec.metrics[0].resource.name"]),
        ({"metrics": [{"type": "Pods"}]}, ["spec.metrics[0].pods"]),
        ({"metrics": [metric("Odd")]}, ["spec.metrics[0].type", "spec.metrics[0].odd"]),
        (
            {"metrics": [metric("External", metric={"name": "q"}, target={"type": "Value"})]},
            ["spec.metrics[0].external.target.averageValue"],
        ),
        (
            {
                "metrics": [
                    metric(
                        "ContainerResource", name="cpu", container="c", target={"type": "Odd", "averageUtilization": 0}
                    )
                ]
            },
            [
                "spec.metrics[0].containerResource.target.type",
                "spec.metrics[0].containerResource.target.averageUtilization",
            ],
        ),
        (
            {
                "behavior": {
                    "scaleUp": {
                        "stabilizationWindowSeconds": 3601,
                        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 1801}],
                    }
                }
            },
            ["spec.behavior.scaleUp.stabilizationWindowSeconds", "spec.behavior.scaleUp.policies[0].periodSeconds"],
        ),
        ({"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}, []),
        ({"behavior": {"scaleDown": {"selectPolicy": "Max"}}}, ["spec.behavior.scaleDown.policies"]),
    ],
)
def test_autoscalers(spec: Obj, wanted: list[str]) -> None:
    assert [error.field for error in autoscaling.autoscaler(autoscaler(**spec))] == wanted
